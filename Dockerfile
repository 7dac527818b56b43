# rpmask with the exact versions of constraints.txt, on the CPU.
#     docker build -t rpmask .
#     docker run --rm -v "$PWD:/work" rpmask run --task demo
FROM python:3.11-slim
WORKDIR /src
# The packages come first, so that a change of the code does not install them again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir rpmask && touch rpmask/__init__.py \
 && pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu '.[onnx]'
COPY rpmask rpmask
RUN pip install --no-cache-dir --no-deps --force-reinstall . && useradd --create-home rpmask
USER rpmask
WORKDIR /work
ENTRYPOINT ["rpmask"]
CMD ["--help"]
