# On request: `snakemake --cores 4 export_folder`, `export_webdataset` or `export_hf`.
DATASET = f"{RESULTS}/dataset"


rule export_folder:
    """Export the data set in the original's layout, for the original's code."""
    input:
        pairs=f"{DATASET}/pairs.parquet",
    output:
        folder=directory(f"{RESULTS}/export/folder"),
    log:
        "logs/export/folder.log",
    localrule: True
    params:
        spec=spec_of("export_folder"),
    message:
        says("Exporting the data set in the original's layout")
    shell:
        "python -m witw.dataset.export_folder --spec {params.spec:q} --pairs {input.pairs}"
        " --folder {output.folder} 2> {log}"


rule export_webdataset:
    """Export the data set as tars for webdataset."""
    input:
        pairs=f"{DATASET}/pairs.parquet",
    output:
        folder=directory(f"{RESULTS}/export/webdataset"),
    log:
        "logs/export/webdataset.log",
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        spec=spec_of("export_webdataset"),
    message:
        says("Exporting the data set as tars")
    shell:
        "python -m witw.dataset.export_webdataset --spec {params.spec:q}"
        " --pairs {input.pairs} --folder {output.folder} 2> {log}"


rule export_hf:
    """Export the data set as Parquet with pictures, for the library `datasets`."""
    input:
        pairs=f"{DATASET}/pairs.parquet",
        card=f"{DATASET}/README.md",
        example=f"{DATASET}/example.jpg",
    output:
        folder=directory(f"{RESULTS}/export/hf"),
    log:
        "logs/export/hf.log",
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        spec=spec_of("export_hf"),
    message:
        says("Exporting the data set as Parquet with pictures")
    shell:
        "python -m witw.dataset.export_hf --spec {params.spec:q} --pairs {input.pairs}"
        " --card {input.card} --example {input.example} --folder {output.folder} 2> {log}"
