rule chips:
    """Cut the square of imagery centred on each outdoor photo of a shard."""
    input:
        ids=f"{RESULTS}/{{aoi}}/ids/{{shard}}.parquet",
        photos=f"{RESULTS}/{{aoi}}/photos/{{shard}}.parquet",
        scenes=f"{RESULTS}/{{aoi}}/scenes/{{shard}}.parquet",
        mosaic=f"{RESULTS}/{{aoi}}/mosaic.vrt",
        tifs=strips(f"{RESULTS}/{{aoi}}/strips/{{strip}}.utm.tif"),
    output:
        chips=directory(f"{RESULTS}/{{aoi}}/chips/{{shard}}"),
        table=f"{RESULTS}/{{aoi}}/chips/{{shard}}.parquet",
    log:
        "logs/{aoi}/chips/{shard}.log",
    benchmark:
        "logs/{aoi}/chips/{shard}.bench.jsonl"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=120,
    params:
        spec=spec_of("chips"),
    message:
        says("{params.spec.area}: cutting chips, {params.spec.shard}")
    shell:
        "python -m witw.imagery.chips --spec {params.spec:q} --threads {threads}"
        " --ids {input.ids} --photos {input.photos} --scenes {input.scenes}"
        " --mosaic {input.mosaic} --tifs {input.tifs}"
        " --chips {output.chips} --table {output.table} 2> {log}"
