# Weights from the internet: Places365 by address, a backbone from timm. Both are fetched first, on
# the machine that runs snakemake, because cluster nodes often have no internet.
rule weights:
    """Fetch all weights that the config names by address or from timm."""
    input:
        [f"models/{name}" for name in paths.weights(CONFIG)],
        paths.fetched_backbone(CONFIG),


rule places365:
    """Fetch a Places365 checkpoint that the config names by address."""
    output:
        file="models/{file}",
    log:
        "logs/weights/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, paths.weights(CONFIG))) or "none",
    priority: 10
    localrule: True
    params:
        spec=spec_of("weights"),
    message:
        says("Fetching the checkpoint {wildcards.file}")
    shell:
        "python -m witw.places365.weights --spec {params.spec:q} --file {output.file} 2> {log}"


rule backbone:
    """Fetch the pretrained weights of the backbone from timm's hub."""
    output:
        file="models/{backbone}.safetensors",
    log:
        "logs/weights/{backbone}.log",
    wildcard_constraints:
        backbone=re.escape(CONFIG.train.backbone),
    priority: 10
    localrule: True
    params:
        spec=spec_of("backbone"),
    message:
        says("Fetching the weights of {wildcards.backbone}")
    shell:
        "python -m witw.cvig.backbone --spec {params.spec:q} --file {output.file} 2> {log}"
