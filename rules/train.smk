PACK = f"{RESULTS}/pack"
PACKED = ["photos.npy", "chips.npy", "pairs.parquet"]


rule train:
    """Train the twin network; the epoch is chosen on the validation city."""
    input:
        train=[f"{PACK}/train/{name}" for name in PACKED],
        val=[f"{PACK}/val/{name}" for name in PACKED],
    output:
        model=f"{RESULTS}/model/model.pt",
        metrics=f"{RESULTS}/model/metrics.jsonl",
    log:
        "logs/train.log",
    benchmark:
        "logs/train.bench.jsonl"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=1440,
    params:
        spec=spec_of("train"),
    shell:
        "python -m witw.cvig.train --spec {params.spec:q} --threads {threads}"
        f" --train {PACK}/train --val {PACK}/val"
        " --model {output.model} --metrics {output.metrics} 2> {log}"


rule evaluate:
    """Rank the test city's chips for each of its photos; chance beside every figure."""
    input:
        model=f"{RESULTS}/model/model.pt",
        test=[f"{PACK}/test/{name}" for name in PACKED],
    output:
        metrics=f"{RESULTS}/evaluation/metrics.json",
        ranks=f"{RESULTS}/evaluation/ranks.parquet",
        plot=f"{RESULTS}/evaluation/recall.png",
    log:
        "logs/evaluate.log",
    threads: 4
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        spec=spec_of("evaluate"),
    shell:
        "python -m witw.cvig.evaluate --spec {params.spec:q} --threads {threads}"
        f" --model {{input.model}} --test {PACK}/test --metrics {{output.metrics}}"
        " --ranks {output.ranks} --plot {output.plot} 2> {log}"
