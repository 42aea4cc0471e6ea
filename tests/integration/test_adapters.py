"""Deliveries to an adapter, with a real web tier and worker."""

import json

from harness import Site, http

CONFIG = """
[database]
peewee_url = {database_url}
[celery]
broker_url = {broker_url}
queue = {queue}

[adapter:store]
kind = s3
secret_file = store.secret

[application:checksum]
exact.type = com.amazonaws.s3.ObjectCreated:Put
prefix.source = minio:s3.
suffix.subject = .raw
command = echo "{{data.s3.bucket.name}}/{{subject}} has {{data.s3.object.size}} bytes"
"""


def record(key: str) -> dict[str, object]:
    """Return a record as MinIO sends it."""
    return {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": "2026-11-23T16:57:37.123Z",
        "eventName": "s3:ObjectCreated:Put",
        "responseElements": {"x-amz-request-id": "17AB", "x-amz-id-2": "dd90"},
        "s3": {"bucket": {"name": "scans"}, "object": {"key": key, "size": 1024}},
    }


def test_a_minio_notification_runs_an_application(
    site: Site, database_url: str, rabbitmq_url: str, queue: str
) -> None:
    site.configure(CONFIG.format(database_url=database_url, broker_url=rabbitmq_url, queue=queue))
    (site.folder / "store.secret").write_text("secret\n")
    site.start_web()
    site.start_worker()
    notification = {
        "EventName": "s3:ObjectCreated:Put",
        "Key": "scans/7/a b.raw",
        "Records": [record("7/a+b.raw"), record("7/log.txt")],
    }
    body = json.dumps(notification).encode()
    headers = {"Content_Type": "application/json", "Authorization": "Bearer secret"}
    refused = http(f"{site.url}/receive/store", body, **headers | {"Authorization": "Bearer no"})
    assert (refused.status, refused.json["title"]) == (403, "Forbidden")
    response = http(f"{site.url}/receive/store", body, **headers)
    assert response.status == 202
    raw, log = response.json["events"]
    assert (raw["applications"], log["status"]) == (["checksum"], "unmatched")
    [run] = site.wait_status(raw["uuid"], "succeeded", "failed")["runs"]
    assert site.output(run["uuid"]) == "scans/7/a+b.raw has 1024 bytes\n"
    again = http(f"{site.url}/receive/store", body, **headers).json["events"]
    assert [each["uuid"] for each in again] == [raw["uuid"], log["uuid"]]
    assert all(each["duplicate"] for each in again)
