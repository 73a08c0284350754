rule search:
    """List every photo of the area's sources once."""
    input:
        sources=photo_source,
    output:
        photos=f"{RESULTS}/{{aoi}}/photos.parquet",
        cells=f"{RESULTS}/{{aoi}}/cells.parquet",
        summary=f"{RESULTS}/{{aoi}}/search.json",
    log:
        "logs/{aoi}/search.log",
    benchmark:
        "logs/{aoi}/search.bench.jsonl"
    resources:
        flickr_api=1,
        mem_mb=growing(2000),
        runtime=600,
    params:
        spec=spec_of("search"),
    message:
        says("{params.spec.area}: listing the photos")
    shell:
        "python -m witw.sources.search --spec {params.spec:q}"
        " --photos {output.photos} --cells {output.cells}"
        " --summary {output.summary} 2> {log}"


# A rule's outputs depend on the number of shards, so there is one rule for each number in use.
for count, names in paths.by_shards(CONFIG).items():

    rule:
        """Divide the area's photos into shards by a hash of their ids."""
        name:
            f"shards_{count}"
        input:
            photos=f"{RESULTS}/{{aoi}}/photos.parquet",
        output:
            ids=[f"{RESULTS}/{{aoi}}/ids/{n:04d}.parquet" for n in range(count)],
        log:
            f"logs/{{aoi}}/shards_{count}.log",
        wildcard_constraints:
            aoi="|".join(names),
        localrule: True
        params:
            spec=spec_of("shards"),
        message:
            says(
                "{params.spec.area}: dividing the photos into {params.spec.shards} shards"
            )
        shell:
            "python -m witw.sources.shards --spec {params.spec:q}"
            " --photos {input.photos} --ids {output.ids} 2> {log}"
