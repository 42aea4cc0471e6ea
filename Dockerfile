FROM python:3.12-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src \
 && python -m venv /opt/dispatcher \
 && /opt/dispatcher/bin/pip install --no-cache-dir "$(ls /wheels/*.whl)[postgres,mysql]"

FROM python:3.12-slim
COPY --from=build /opt/dispatcher /opt/dispatcher
RUN useradd --system --home-dir /var/lib/dispatcher --create-home dispatcher
USER dispatcher
WORKDIR /var/lib/dispatcher
ENV PATH=/opt/dispatcher/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DISPATCHER_CONFIG=/etc/dispatcher/config.ini
COPY config.ini /etc/dispatcher/config.ini
EXPOSE 8069
CMD ["pacifica-dispatcher", "serve", "--address", "0.0.0.0"]
