"""The events of AgentOS over one telemetry: ``record_*`` methods and measured calls, series found in one look-up a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType

from opentelemetry.trace import get_current_span

from telemetry.agentos import catalogue as rows
from telemetry.agentos import catalogue_models
from telemetry.agentos.agent_calls import INVOKE_WORKFLOW, AgentInvocation, AgentMetrics, ToolCall, invocation_attributes
from telemetry.agentos.call_counts import count_inference
from telemetry.agentos.calls import A2ACall, CacheCall, ModelCall
from telemetry.agentos.catalogue_genai import V1_36, GenAI
from telemetry.agentos.genai import GenAIMetrics, Target
from telemetry.agentos.measured import Measured
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.agentos.model_metrics import ModelMetrics
from telemetry.agentos.series import SeriesCache
from telemetry.agentos.workspaces import WorkspaceMetrics
from telemetry.instruments.bound import BoundInstrument
from telemetry.instruments.event import BoundEvent
from telemetry.pipeline.telemetry import Telemetry
from telemetry.tracing.span import matching_span_reference, span_reference_of

__all__ = ["Recorder"]


class Recorder:
    """Records what AgentOS measures.

    Args:
        telemetry: Its catalogue has the rows of ``AGENTOS``. What the further parts of the catalogue ask for is recorded
            where it has their rows.
        genai: The version of OpenTelemetry's GenAI conventions for the spans of model calls where the catalogue has none of
            its metrics.
    """

    def __init__(self, telemetry: Telemetry, genai: GenAI = V1_36) -> None:
        self.telemetry = telemetry
        self._cache = cache = SeriesCache(telemetry)
        self._outcomes = cache.outcomes
        self._decision = cache.decision
        self._takes_sampled = cache.takes_sampled
        for metric in (rows.CACHE_OPERATIONS, rows.CACHE_LATENCY):
            telemetry.start_at_zero(metric)
        self.tracer = telemetry.tracer
        self.models = ModelMetrics(cache)
        """What the router of model calls records beside the contract."""
        self.workspaces = WorkspaceMetrics(cache)
        """Tokens and money by workspace."""
        self._genai = GenAIMetrics(cache, genai)
        self._agents = AgentMetrics(cache)

    # A2A

    def record_a2a_request(
        self,
        agent: str,
        operation: str,
        status: str,
        duration_seconds: float,
        response_size_bytes: float | None = None,
        *,
        error_type: str | None = None,
    ) -> None:
        """Records one finished A2A request: duration, count, size, and for an error its type.

        Args:
            agent: Name of the agent.
            operation: Skill on the agent's card.
            status: ``success`` or ``error``.
            duration_seconds: Seconds from before the send to the last event or the failure.
            response_size_bytes: Bytes of the response's body; None where no byte came.
            error_type: Why it failed; an error without a type is ``internal``.
        """
        try:
            outcome = self._outcomes.get((agent, operation, status))  # in a flood of labels a KeyError would cost more
        except TypeError:  # a value that cannot be hashed
            outcome = None
        if outcome is None:
            outcome = self._cache.outcome(agent, operation, status)
        reference = matching_span_reference(outcome) if self._takes_sampled else None
        outcome.record(duration_seconds, response_size_bytes, reference)
        if status == "error":
            error = self._cache.a2a_error(agent, operation, error_type or "internal")
            error.record_with_exemplar(1, reference and self._span_reference(error))

    def a2a_call(self, *, agent: str, operation: str, attributes: Mapping[str, str | int] = MappingProxyType({})) -> A2ACall:
        """Returns a context manager that measures one A2A call: span and all metrics, active tasks included.

        Args:
            agent: Name of the agent.
            operation: Skill on the agent's card.
            attributes: Further attributes of the span.
        """
        return A2ACall(self._cache, agent, operation, attributes)

    # Cache

    def record_cache_operation(self, operation: str, result: str, duration_seconds: float | None = None) -> None:
        """Records one finished cache operation.

        Args:
            operation: ``get``, ``set`` or ``delete``.
            result: ``hit``, ``miss``, ``ok`` or ``error``.
            duration_seconds: Its latency in seconds, where it is known.
        """
        outcome = self._cache.cache_operation(operation, result)
        reference = self._span_reference(outcome)
        if duration_seconds is None:
            outcome.count.record_with_exemplar(1, reference)
        else:
            outcome.record(duration_seconds, None, reference)

    def cache_call(self, operation: str) -> CacheCall:
        """Returns a context manager that measures one cache operation: span, count and latency."""
        return CacheCall(self._cache, operation)

    # Rate limit

    def record_rate_limit_hit(self, endpoint: str, result: str, workspace_id: str = "unknown") -> None:
        """Records one decision of the rate limiter.

        Args:
            endpoint: Route template of the request.
            result: ``allowed``, ``denied``, or ``error`` where the backend failed and the request was let through.
            workspace_id: Workspace of the request.
        """
        counter = self._decision(endpoint, workspace_id, result)
        counter.record_with_exemplar(1, self._span_reference(counter))

    def rate_limit_decision(self, endpoint: str, result: str, workspace_id: str = "unknown") -> None:
        """Records one decision as ``record_rate_limit_hit`` does, and puts its labels on the current span (the server's)."""
        counter = self._decision(endpoint, workspace_id, result)
        reference = None
        try:
            span = get_current_span()
            if span.is_recording():
                attributes = counter.attributes
                span.set_attributes(attributes)
                reference = span_reference_of(span, attributes) if self._takes_sampled else None
        except Exception as error:
            self._cache.record_failure(error)
        counter.record_with_exemplar(1, reference)

    def has_workspace(self, workspace_id: str) -> bool:
        """Whether a workspace has series of its own. Of several workers each learns of the others' workspaces by its own."""
        return self._cache.has_workspace(workspace_id)

    # Model calls

    def record_ccr_request(
        self,
        provider: str,
        task_type: str,
        status: str,
        duration_seconds: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        total_tokens: int | None = None,
    ) -> None:
        """Records one routed model call.

        Args:
            provider: Name of the model provider.
            task_type: Kind of model task.
            status: ``success`` or ``error``.
            duration_seconds: Its latency in seconds, where it is known.
            input_tokens: Tokens of the prompt, where the provider reports them.
            output_tokens: Tokens of the answer, likewise.
            total_tokens: All tokens, likewise; what they hold beyond the split is counted as ``unknown``.
        """
        count_inference()
        series = self._cache.ccr(provider, task_type)
        known = series.outcomes.get(status) if isinstance(status, str) else None
        outcome = known or self._cache.new_ccr_outcome(provider, task_type, status)
        reference = self._span_reference(outcome)
        if duration_seconds is None:
            outcome.count.record_with_exemplar(1, reference)
        else:
            outcome.record(duration_seconds, None, reference)
        series.add_tokens(input_tokens, output_tokens, total_tokens, reference)

    def model_call(self, *, provider: str, task_type: str) -> ModelCall:
        """Returns a context manager that measures one model call: span, count, latency and tokens."""
        return ModelCall(self._cache, provider, task_type)

    def model_attempt(self, target: Target, task_type: str, number: int, workspace: str = "unknown") -> ModelAttempt:
        """Returns a context manager that measures one attempt of the router: a model call with all its details.

        Args:
            target: The provider and model that are asked.
            task_type: Kind of model task.
            number: Number of the attempt for this answer, from 1.
            workspace: Id of the workspace that pays for it.
        """
        return ModelAttempt(self._cache, self.models, self._genai, self.workspaces, target, task_type, number, workspace)

    # Agents and tools

    def agent_invocation(
        self,
        agent: str | None = None,
        *,
        id: str = "",
        description: str = "",
        version: str = "",
        conversation: str = "",
        model: str = "",
        provider: str = "",
        remote: bool = False,
        address: str = "",
        port: int | None = None,
    ) -> Measured[AgentInvocation]:
        """Returns a context manager and decorator that measures one invocation of an agent, and counts its own calls.

        The calls of models and tools of an agent that is invoked inside count for that one alone.

        Args:
            agent: Name of the agent; by default that of the decorated function.
            id: Id of a hosted agent, as its provider gave it.
            description: What the agent does.
            version: The agent's version.
            conversation: Id of the conversation that the invocation belongs to.
            model: The agent's model, if it has one alone.
            provider: Whose protocol a remote agent speaks, in the words of the GenAI conventions.
            remote: Whether the agent runs in another process: then there is a span of kind CLIENT, and no metric.
            address: Host of a remote agent.
            port: Its port.
        """
        attributes = invocation_attributes(
            id=id,
            description=description,
            version=version,
            conversation=conversation,
            provider=provider,
            address=address,
            port=port,
        )
        return Measured(partial(AgentInvocation, self._agents, attributes=attributes, model=model, remote=remote), agent)

    def workflow(
        self, workflow: str | None = None, *, description: str = "", conversation: str = ""
    ) -> Measured[AgentInvocation]:
        """Returns a context manager and decorator that measures one run of a workflow, which coordinates several agents.

        A call of a model or tool that the workflow makes outside of its agents counts for the workflow.

        Args:
            workflow: Name of the workflow; by default that of the decorated function.
            description: What the workflow does.
            conversation: Id of the conversation that it belongs to.
        """

        def new(name: str) -> AgentInvocation:
            attributes = invocation_attributes(description=description, conversation=conversation, workflow=name)
            return AgentInvocation(self._agents, name, operation=INVOKE_WORKFLOW, attributes=attributes)

        return Measured(new, workflow)

    def tool_call(
        self, tool: str | None = None, *, type: str = "function", id: str = "", description: str = "", content: bool = False
    ) -> Measured[ToolCall]:
        """Returns a context manager and decorator that measures one execution of a tool.

        It counts for the agent invocation that is under way.

        Args:
            tool: Name of the tool; by default that of the decorated function.
            type: ``function``, ``extension`` or ``datastore``.
            id: Id of the call, as the model gave it.
            description: What the tool does.
            content: Whether the span may carry the tool's arguments and result, which ``ToolCall.record_arguments`` and
                ``record_result`` put there.
        """
        return Measured(partial(ToolCall, self._agents, type=type, id=id, description=description, content=content), tool)

    # Series at 0

    def initialize_series(
        self,
        *,
        agents: Mapping[str, Collection[str]] = MappingProxyType({}),
        providers: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """Starts the series of known names at 0, so that ``increase`` sees their first event.

        Args:
            agents: Agent -> its operations.
            providers: Model provider -> its task types.
        """
        for agent, operations in agents.items():
            self._initialize_agent(agent, operations)
        for provider, task_types in providers.items():
            for task_type in task_types:
                self._cache.ccr(provider, task_type)
                self._cache.start_at_zero(catalogue_models.ROUTED_ATTEMPTS, task_type=task_type)

    def _initialize_agent(self, agent: str, operations: Collection[str]) -> None:
        models, zero = catalogue_models, self._cache.start_at_zero
        for operation in operations:
            self._cache.a2a(agent, operation)
        zero(rows.A2A_ACTIVE_TASKS, agent=agent)
        zero(models.TASK_STATES, agent=agent)
        zero(models.REQUEST_SIZE, agent=agent)
        for code in models.PROTOCOL_CODES:
            zero(models.A2A_CODES, **{"agent": agent, models.ERROR_CODE.key: code})
        for operation in operations:
            zero(models.FIRST_EVENT, agent=agent, operation=operation)

    def _span_reference(self, series: BoundInstrument | BoundEvent) -> bytes | None:
        return matching_span_reference(series) if self._takes_sampled else None
