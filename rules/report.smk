rule report:
    """Write the page that shows all results."""
    input:
        **report_inputs(),
    output:
        html=report(
            f"{RESULTS}/report/report.html",
            category="Overview",
            caption="captions/report.rst",
        ),
    log:
        "logs/report.log",
    localrule: True
    params:
        spec=spec_of("report"),
    message:
        says("Writing the report")
    shell:
        "python -m witw.report --spec {params.spec:q} --pairs {input.pairs}"
        " --cells {input.cells} --searches {input.searches} --training {input.training}"
        " --evaluation {input.evaluation} --heatmaps {input.heatmaps}"
        " --mosaics {input.mosaics} --logs logs --html {output.html} 2> {log}"
