"""Teachers: language models that judge pairs. Pairs go in, judgments and rejections come out."""
