"""Alerts about what everything stands on: the store, the disk, the clock, the certificate."""

from __future__ import annotations

from services.monitoring.alerts.base import DATA_DIRECTORY, Alert, Group, Scope, Service, Severity

_DAY_S = 86400
# Leases and heartbeats of a few seconds are compared between machines: beyond a second they begin to lie.
CLOCK_S = 1


def machine(scope: Scope) -> tuple[Group, ...]:
    return (Group("machine", (_store(scope), *_disk(scope), *_certificate(scope), _clock(scope), _files(scope))),)


def _store(scope: Scope) -> Alert:
    return Alert(
        "GrayscaleStoreAway",
        f"min(grayscale_store_reachable{{{scope.of(Service.API, Service.CONTROLLER)}}}) < 1",
        Severity.CRITICAL,
        "Redis does not answer: jobs are refused, releases stand still",
        "1m",
    )


def _disk(scope: Scope) -> tuple[Alert, ...]:
    data = scope.of(*DATA_DIRECTORY)
    share = f"min(grayscale_data_dir_free_bytes{{{data}}} / grayscale_data_dir_size_bytes{{{data}}})"
    summary = "The file system of the data directory has {{ $value | humanizePercentage }} left"
    return (
        Alert("GrayscaleDiskFull", f"{share} < 0.03", Severity.CRITICAL, summary, "1m"),
        Alert("GrayscaleDiskFull", f"{share} < 0.1", Severity.WARNING, summary, "10m"),
    )


def _certificate(scope: Scope) -> tuple[Alert, ...]:
    served = scope.of(Service.API, Service.MODEL_SERVER, Service.WEB)
    left = f"min(grayscale_tls_certificate_not_after_seconds{{{served}}}) - time()"
    summary = "The certificate ends in {{ $value | humanizeDuration }}"
    return (
        Alert("GrayscaleCertificateEnds", f"{left} < {2 * _DAY_S}", Severity.CRITICAL, summary, "10m"),
        Alert("GrayscaleCertificateEnds", f"{left} < {14 * _DAY_S}", Severity.WARNING, summary, "10m"),
    )


def _clock(scope: Scope) -> Alert:
    return Alert(
        "GrayscaleClockOff",
        f"max(abs(grayscale_clock_offset_seconds{{{scope.of(Service.API, Service.CONTROLLER)}}})) > {CLOCK_S}",
        Severity.WARNING,
        "A machine's clock is {{ $value | humanizeDuration }} away from the store's",
        "5m",
    )


def _files(scope: Scope) -> Alert:
    services = scope.of(*Service)
    return Alert(
        "GrayscaleFewFileDescriptors",
        f"max(grayscale_process_open_fds{{{services}}} / grayscale_process_max_fds{{{services}}}) > 0.8",
        Severity.WARNING,
        "A process has used four fifths of the file descriptors that it may have",
        "5m",
    )
