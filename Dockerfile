# docker build -t hdap . && docker run --rm -v "$PWD:/data" --user "$(id -u)" hdap status
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
# torch's own index has wheels without CUDA: the image is some gigabytes smaller
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/hdap \
 && /opt/hdap/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
    --constraint constraints.txt ".[mlflow,objects,postgres,watch]"

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home hdap && install -d -o hdap -g hdap /data
COPY --from=build /opt/hdap /opt/hdap
ENV PATH=/opt/hdap/bin:$PATH
WORKDIR /data
USER 10001
ENTRYPOINT ["hdap"]
CMD ["--help"]
