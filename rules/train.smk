PACK = f"{RESULTS}/pack"
PACKED = ["pictures.arrow", "pairs.parquet"]


rule train:
    """Train the twin network, one process per GPU; the validation city selects the epoch."""
    input:
        train=[f"{PACK}/train/{name}" for name in PACKED],
        val=[f"{PACK}/val/{name}" for name in PACKED],
        weights=backbone_source,
    output:
        model=f"{RESULTS}/model/trained.safetensors",
        metrics=f"{RESULTS}/model/metrics.jsonl",
    log:
        "logs/train.log",
    benchmark:
        "logs/train.bench.jsonl"
    threads: 8
    resources:
        **training("train"),
    params:
        spec=spec_of("train"),
    message:
        says("Training the network")
    shell:
        "python -m witw.cvig.train --spec {params.spec:q} --threads {threads}"
        " --processes {resources.gpu} --nodes {resources.nodes}"
        ' --train "$(dirname {input.train[0]})" --val "$(dirname {input.val[0]})"'
        " --weights {input.weights}"
        " --model {output.model} --metrics {output.metrics} 2> {log}"


rule evaluate:
    """Score the model on the test cities, with chance and an interval for every figure."""
    input:
        model=f"{RESULTS}/model/trained.safetensors",
        train=[f"{PACK}/train/{name}" for name in PACKED],
        val=[f"{PACK}/val/{name}" for name in PACKED],
        test=[f"{PACK}/test/{name}" for name in PACKED],
        cells=per_aoi(f"{RESULTS}/index/{{aoi}}.safetensors", "val", "test"),
        pairs=per_aoi(f"{RESULTS}/{{aoi}}/pairs.parquet", "test"),
    output:
        metrics=f"{RESULTS}/evaluation/metrics.json",
        ranks=f"{RESULTS}/evaluation/ranks.parquet",
        plot=f"{RESULTS}/evaluation/recall.png",
    log:
        "logs/evaluate.log",
    threads: 4
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=120,
    params:
        spec=spec_of("evaluate"),
    message:
        says("Scoring the model on the test cities")
    shell:
        "python -m witw.cvig.evaluate --spec {params.spec:q} --threads {threads}"
        ' --model {input.model} --train "$(dirname {input.train[0]})"'
        ' --val "$(dirname {input.val[0]})"'
        ' --test "$(dirname {input.test[0]})"'
        " --cells {input.cells} --pairs {input.pairs}"
        " --metrics {output.metrics} --ranks {output.ranks} --plot {output.plot} 2> {log}"
