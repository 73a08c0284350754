rule scenes:
    """Score every photo of a shard with the Places365 network; `pairs` applies the threshold."""
    input:
        photos=f"{RESULTS}/{{aoi}}/photos/{{shard}}.parquet",
        checkpoint=checkpoint_source,
    output:
        table=f"{RESULTS}/{{aoi}}/scenes/{{shard}}.parquet",
    log:
        "logs/{aoi}/scenes/{shard}.log",
    benchmark:
        "logs/{aoi}/scenes/{shard}.bench.jsonl"
    threads: 2
    resources:
        mem_mb=growing(3000),
        runtime=120,
    params:
        spec=spec_of("scenes"),
    message:
        says(
            "{params.spec.area}: scoring indoor and outdoor photos, {params.spec.shard}"
        )
    shell:
        "python -m witw.places365.scenes --spec {params.spec:q} --threads {threads}"
        " --photos {input.photos} --checkpoint {input.checkpoint}"
        " --table {output.table} 2> {log}"
