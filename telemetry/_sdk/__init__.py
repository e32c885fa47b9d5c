"""Everything that uses private names of the OpenTelemetry SDK.

Each function states what it does when a name is gone. Its caller then takes the public path; tests compare the two.
"""
