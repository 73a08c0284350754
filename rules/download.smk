rule download:
    """Download the missing 500 px photos of a shard into the photo store."""
    input:
        ids=f"{RESULTS}/{{aoi}}/ids/{{shard}}.parquet",
    output:
        table=f"{RESULTS}/{{aoi}}/photos/{{shard}}.parquet",
    log:
        "logs/{aoi}/download/{shard}.log",
    benchmark:
        "logs/{aoi}/download/{shard}.bench.jsonl"
    resources:
        photo_host=1,
        mem_mb=growing(1000),
        runtime=240,
    params:
        spec=spec_of("download"),
    message:
        says("{params.spec.area}: downloading {params.spec.shard}")
    shell:
        "python -m witw.sources.download --spec {params.spec:q}"
        " --ids {input.ids} --table {output.table} 2> {log}"
