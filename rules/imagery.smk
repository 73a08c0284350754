STRIPS = f"{RESULTS}/{{aoi}}/strips/{{strip}}"


rule stats:
    """Count every value of a strip's three bands."""
    input:
        source=strip_source,
    output:
        stats=f"{STRIPS}.stats.json",
    log:
        "logs/{aoi}/stats/{strip}.log",
    benchmark:
        "logs/{aoi}/stats/{strip}.bench.jsonl"
    threads: 4
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        spec=spec_of("stats"),
    message:
        says("{params.spec.area}: counting the values of {params.spec.strip}")
    shell:
        "python -m witw.imagery.stats --spec {params.spec:q} --threads {threads}"
        " --stats {output.stats} 2> {log}"


rule stretch:
    """Choose one 16 to 8 bit stretch for the area, so that its strips meet without seams."""
    input:
        stats=strips(f"{STRIPS}.stats.json"),
    output:
        stretch=f"{RESULTS}/{{aoi}}/stretch.json",
    log:
        "logs/{aoi}/stretch.log",
    localrule: True
    params:
        spec=spec_of("stretch"),
    message:
        says("{params.spec.area}: choosing one stretch for all strips")
    shell:
        "python -m witw.imagery.stretch --spec {params.spec:q}"
        " --stats {input.stats} --stretch {output.stretch} 2> {log}"


rule rgb8:
    """Describe the strip as 8-bit RGB: a VRT with the exact lookup table, for any GIS."""
    input:
        source=strip_source,
        stretch=f"{RESULTS}/{{aoi}}/stretch.json",
    output:
        vrt=f"{STRIPS}.rgb8.vrt",
    log:
        "logs/{aoi}/rgb8/{strip}.log",
    localrule: True
    params:
        spec=spec_of("rgb8"),
    message:
        says("{params.spec.area}: describing {params.spec.strip} as 8-bit RGB")
    shell:
        "python -m witw.imagery.rgb8 --spec {params.spec:q}"
        " --stretch {input.stretch} --vrt {output.vrt} 2> {log}"


rule utm:
    """Reproject the 8-bit strip to the area's UTM zone."""
    input:
        source=strip_source,
        stretch=f"{RESULTS}/{{aoi}}/stretch.json",
        photos=sparse_photos,
    output:
        tif=f"{STRIPS}.utm.tif",
    log:
        "logs/{aoi}/utm/{strip}.log",
    benchmark:
        "logs/{aoi}/utm/{strip}.bench.jsonl"
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=480,
    params:
        spec=spec_of("utm"),
    message:
        says("{params.spec.area}: reprojecting {params.spec.strip} to UTM")
    shell:
        "python -m witw.imagery.utm --spec {params.spec:q} --threads {threads}"
        " --stretch {input.stretch} --photos {input.photos} --tif {output.tif} 2> {log}"


rule mosaic:
    """Join the strips as one raster, the first of the config or the clearest on top."""
    input:
        tifs=strips(f"{STRIPS}.utm.tif"),
    output:
        vrt=f"{RESULTS}/{{aoi}}/mosaic.vrt",
    log:
        "logs/{aoi}/mosaic.log",
    localrule: True
    params:
        spec=spec_of("mosaic"),
    message:
        says("{params.spec.area}: joining the strips")
    shell:
        "python -m witw.imagery.mosaic --spec {params.spec:q}"
        " --tifs {input.tifs} --vrt {output.vrt} 2> {log}"
