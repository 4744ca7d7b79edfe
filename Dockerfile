# docker build --tag speech-codec-bench .
# docker run --rm --user "$(id -u)" --volume "$PWD:/data" speech-codec-bench run low_rate
#
# PyTorch for the processor alone: for a GPU, build with --build-arg TORCH=https://download.pytorch.org/whl/cu128 and run with --gpus all.
FROM python:3.12 AS build
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/venv
COPY . /src
RUN /opt/venv/bin/pip install --no-cache-dir --index-url "$TORCH" 'torch>=2.8,<2.14' \
 && /opt/venv/bin/pip install --no-cache-dir /src

FROM python:3.12-slim
COPY --from=build /opt/venv /opt/venv
RUN useradd --create-home bench && mkdir /data && chmod 777 /data /home/bench && chown bench /data
ENV PATH=/opt/venv/bin:$PATH HOME=/home/bench
USER bench
WORKDIR /data
ENTRYPOINT ["bench"]
CMD ["--help"]
