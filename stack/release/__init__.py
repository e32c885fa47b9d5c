"""Builds and checks what a release hands out: both distributions, the chart, the image's context, SBOMs and checksums."""
