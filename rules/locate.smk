rule fetch_model:
    """Fetch the model that the config names by address."""
    output:
        file="models/{file}.safetensors",
    log:
        "logs/fetch_model/{file}.log",
    wildcard_constraints:
        file=re.escape(Path(GIVEN).stem) if "://" in CONFIG.model else "none",
    localrule: True
    params:
        spec=spec_of("fetch_model"),
    message:
        says("Fetching the model")
    shell:
        "python -m witw.locating.fetch_model --spec {params.spec:q} --file {output.file} 2> {log}"


rule release:
    """Write one shareable file with the network, its calibration, figures and sources."""
    input:
        model=f"{RESULTS}/model/trained.safetensors",
        evaluation=f"{RESULTS}/evaluation/metrics.json",
        pairs=f"{RESULTS}/dataset/pairs.parquet",
    output:
        model=f"{RESULTS}/model/witw.safetensors",
    log:
        "logs/release.log",
    localrule: True
    params:
        spec=spec_of("release"),
    message:
        says("Writing the model file")
    shell:
        "python -m witw.cvig.release --spec {params.spec:q} --model {input.model}"
        " --evaluation {input.evaluation} --pairs {input.pairs} --out {output.model} 2> {log}"


rule index:
    """Encode a grid of cells over an area with the trained overhead tower."""
    input:
        model=NETWORK,
        mosaic=f"{RESULTS}/{{aoi}}/mosaic.vrt",
        tifs=strips(f"{RESULTS}/{{aoi}}/strips/{{strip}}.utm.tif"),
    output:
        cells=f"{RESULTS}/index/{{aoi}}.safetensors",
    log:
        "logs/index/{aoi}.log",
    benchmark:
        "logs/index/{aoi}.bench.jsonl"
    threads: 4
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=240,
    params:
        spec=spec_of("index"),
    message:
        says("{params.spec.area}: indexing the city")
    shell:
        "python -m witw.cvig.index --spec {params.spec:q} --threads {threads}"
        " --model {input.model} --mosaic {input.mosaic}"
        " --cells {output.cells} 2> {log}"


rule locate:
    """Locate the best, the median and the worst photo of a test city: pictures, files, a page."""
    input:
        model=f"{RESULTS}/model/witw.safetensors",
        cells=f"{RESULTS}/index/{{aoi}}.safetensors",
        mosaic=f"{RESULTS}/{{aoi}}/mosaic.vrt",
        pairs=f"{RESULTS}/{{aoi}}/pairs.parquet",
        ranks=f"{RESULTS}/evaluation/ranks.parquet",
    output:
        best=f"{RESULTS}/locate/{{aoi}}/best.png",
        median=f"{RESULTS}/locate/{{aoi}}/heatmap.png",
        worst=f"{RESULTS}/locate/{{aoi}}/worst.png",
        answers=directory(f"{RESULTS}/locate/{{aoi}}/answers"),
    log:
        "logs/locate/{aoi}.log",
    resources:
        mem_mb=growing(4000),
        runtime=60,
    params:
        spec=spec_of("locate"),
    message:
        says("{params.spec.area}: locating the best, the median and the worst photo")
    shell:
        "python -m witw.cvig.locate --spec {params.spec:q} --model {input.model}"
        " --cells {input.cells} --mosaic {input.mosaic}"
        " --pairs {input.pairs} --ranks {input.ranks} --best {output.best}"
        " --median {output.median} --worst {output.worst} --answers {output.answers} 2> {log}"
