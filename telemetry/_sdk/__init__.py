"""The only place that uses private names of the OpenTelemetry SDK.

Each function says what it does when a name is gone: its caller then takes the public path, which a test holds equal.
"""
