PER_SHARD = f"{RESULTS}/{{aoi}}/%s/{{shard}}.parquet"


rule pairs:
    """Write one row for each listed photo: its status, licence, credit and two files."""
    input:
        photos=f"{RESULTS}/{{aoi}}/photos.parquet",
        downloads=shards(PER_SHARD % "photos"),
        scenes=shards(PER_SHARD % "scenes"),
        chips=shards(PER_SHARD % "chips"),
        # Only if a filter needs them.
        exclude=excluded_photos,
        mosaic=edge_of_imagery,
    output:
        pairs=f"{RESULTS}/{{aoi}}/pairs.parquet",
    log:
        "logs/{aoi}/pairs.log",
    localrule: True
    params:
        spec=spec_of("pairs"),
    message:
        says("{params.spec.area}: joining photos and chips to pairs")
    shell:
        "python -m witw.dataset.pairs --spec {params.spec:q} --photos {input.photos}"
        " --downloads {input.downloads} --scenes {input.scenes} --chips {input.chips}"
        " --mosaic {input.mosaic} --pairs {output.pairs} 2> {log}"


rule dataset:
    """Merge all areas into one folder: pictures, tables, credits, data card and Croissant."""
    input:
        pairs=per_aoi(f"{RESULTS}/{{aoi}}/pairs.parquet"),
        weights=checkpoints,
    output:
        pairs=f"{RESULTS}/dataset/pairs.parquet",
        funnel=f"{RESULTS}/dataset/funnel.csv",
        licenses=f"{RESULTS}/dataset/licenses.csv",
        credits=f"{RESULTS}/dataset/CREDITS.csv",
        card=f"{RESULTS}/dataset/README.md",
        croissant=f"{RESULTS}/dataset/croissant.json",
        ids=f"{RESULTS}/dataset/ids.csv",
        provenance=f"{RESULTS}/dataset/provenance.json",
        example=f"{RESULTS}/dataset/example.jpg",
        photos=directory(f"{RESULTS}/dataset/photos"),
        chips=directory(f"{RESULTS}/dataset/chips"),
    log:
        "logs/dataset.log",
    localrule: True
    params:
        spec=spec_of("dataset"),
    message:
        says("All areas: writing the data set")
    shell:
        "python -m witw.dataset.dataset --spec {params.spec:q} --inputs {input.pairs}"
        " --pairs {output.pairs} --funnel {output.funnel} --licenses {output.licenses}"
        " --credits {output.credits} --card {output.card} --croissant {output.croissant}"
        " --ids {output.ids} --provenance {output.provenance} --weights {input.weights}"
        " --example {output.example} --photos {output.photos} --chips {output.chips} 2> {log}"


rule pack:
    """Pack the pairs of a split at the network's size, as JPEG in one Arrow file."""
    input:
        pairs=f"{RESULTS}/dataset/pairs.parquet",
    output:
        pictures=f"{RESULTS}/pack/{{split}}/pictures.arrow",
        table=f"{RESULTS}/pack/{{split}}/pairs.parquet",
    log:
        "logs/pack/{split}.log",
    benchmark:
        "logs/pack/{split}.bench.jsonl"
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        spec=spec_of("pack"),
    message:
        says("Packing the {wildcards.split} pairs")
    shell:
        "python -m witw.dataset.pack --spec {params.spec:q} --threads {threads}"
        " --split {wildcards.split} --pairs {input.pairs}"
        " --pictures {output.pictures} --table {output.table} 2> {log}"
