# Leave one city out, on request: `snakemake leave_one_out`. A fold repeats the flow from `pack` on
# with other splits, below results/loo/{fold}/. Its rules are the usual rules with other files.
LOO = f"{RESULTS}/loo/{{fold}}"


wildcard_constraints:
    fold="|".join(CONFIG.aois),


rule resplit:
    """Give the data set the splits of a fold."""
    input:
        pairs=f"{RESULTS}/dataset/pairs.parquet",
    output:
        pairs=f"{LOO}/pairs.parquet",
    log:
        "logs/loo/{fold}/resplit.log",
    localrule: True
    params:
        spec=spec_of("resplit"),
    message:
        says("Without {params.spec.fold}: splitting the data set")
    shell:
        "python -m witw.cvig.resplit --spec {params.spec:q} --fold {wildcards.fold}"
        " --pairs {input.pairs} --out {output.pairs} 2> {log}"


use rule pack as loo_pack with:
    input:
        pairs=f"{LOO}/pairs.parquet",
    output:
        pictures=temp(f"{LOO}/pack/{{split}}/pictures.arrow"),
        table=temp(f"{LOO}/pack/{{split}}/pairs.parquet"),
    log:
        "logs/loo/{fold}/pack/{split}.log",
    benchmark:
        "logs/loo/{fold}/pack/{split}.bench.jsonl"
    message:
        says("Without {params.spec.fold}: packing the {wildcards.split} pairs")


use rule train as loo_train with:
    input:
        train=[f"{LOO}/pack/train/{name}" for name in PACKED],
        val=[f"{LOO}/pack/val/{name}" for name in PACKED],
        weights=backbone_source,
    output:
        model=f"{LOO}/model.safetensors",
        metrics=f"{LOO}/training.jsonl",
    log:
        "logs/loo/{fold}/train.log",
    benchmark:
        "logs/loo/{fold}/train.bench.jsonl"
    resources:
        **training("loo_train"),
    message:
        says("Without {params.spec.fold}: training the network")


use rule index as loo_index with:
    input:
        model=f"{LOO}/model.safetensors",
        mosaic=f"{RESULTS}/{{aoi}}/mosaic.vrt",
        tifs=strips(f"{RESULTS}/{{aoi}}/strips/{{strip}}.utm.tif"),
    output:
        cells=temp(f"{LOO}/index/{{aoi}}.safetensors"),
    log:
        "logs/loo/{fold}/index/{aoi}.log",
    benchmark:
        "logs/loo/{fold}/index/{aoi}.bench.jsonl"
    message:
        says("Without {params.spec.fold}: indexing {params.spec.area}")


use rule evaluate as loo_evaluate with:
    input:
        model=f"{LOO}/model.safetensors",
        train=[f"{LOO}/pack/train/{name}" for name in PACKED],
        val=[f"{LOO}/pack/val/{name}" for name in PACKED],
        test=[f"{LOO}/pack/test/{name}" for name in PACKED],
        cells=fold_cells,
        pairs=fold_pairs,
    output:
        metrics=f"{LOO}/metrics.json",
        ranks=f"{LOO}/ranks.parquet",
        plot=f"{LOO}/recall.png",
    log:
        "logs/loo/{fold}/evaluate.log",
    message:
        says("Without {params.spec.fold}: scoring the model")


rule leave_one_out:
    """Write one table with every city, each tested by a model that has never seen it."""
    input:
        [f"{RESULTS}/loo/{fold}/metrics.json" for fold in FOLDS],
    output:
        csv=f"{RESULTS}/loo/table.csv",
        markdown=f"{RESULTS}/loo/table.md",
    log:
        "logs/loo/table.log",
    localrule: True
    params:
        spec=spec_of("leave_one_out"),
    message:
        says("All cities: writing the leave-one-out table")
    shell:
        "python -m witw.cvig.leave_one_out --spec {params.spec:q} --evaluations {input}"
        " --csv {output.csv} --markdown {output.markdown} 2> {log}"
