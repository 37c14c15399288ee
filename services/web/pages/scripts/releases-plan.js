// A release's plan as people write it, and the commands that begin it. Pure.

export const PLAN_FILE = "plan.yaml";

const PLAIN = /^(?!(?:true|false|null|yes|no)$)[A-Za-z0-9_][A-Za-z0-9_./-]*$/i;
const NUMBER = /^[-+]?[0-9.]+(?:e[-+]?[0-9]+)?$/i;

/** The plan's document as YAML: a line for each field, each step and each guardrail. */
export function planYaml(plan) {
  const lines = [];
  for (const [name, value] of Object.entries(plan)) {
    if (Array.isArray(value)) {
      lines.push(...(value.length ? [`${name}:`, ...value.map((each) => `  - ${flow(each)}`)] : [`${name}: []`]));
    } else if (name === "arms") {
      lines.push("arms:", ...Object.entries(value).map(([arm, each]) => `  ${scalar(arm)}: ${flow(each)}`));
    } else {
      lines.push(`${name}: ${flow(value)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The same from a terminal: to begin it with the plan in a file, and to watch it. */
export function commandsOf(model) {
  return {
    follow: `grayscale release status ${model} --watch`,
    cli: `grayscale release check -f ${PLAN_FILE}\ngrayscale release apply -f ${PLAN_FILE} --watch`,
  };
}

/** The plan that a form's values ask for: `{model, candidate, strategy, steps, guardrails, hold, on_fail, share}`. */
export function planOf(values) {
  const { model, candidate, strategy } = values;
  const plan = { model };
  if (strategy === "ab") {
    plan.strategy = "ab";
    plan.arms = { b: { ...candidate, weight: values.share } };
  } else {
    plan.candidate = candidate;
    plan.strategy = strategy;
  }
  const steps = values.steps.map(stepOf).filter((step) => isAllowed(step, strategy));
  if (steps.length || strategy !== "blue-green") plan.steps = steps;
  if (strategy === "canary" || strategy === "blue-green") plan.hold = values.hold;
  const mirrors = steps.some((step) => "shadow" in step);
  const guardrails = values.guardrails.filter(({ metric }) =>
    metric === "disagreement" ? mirrors : strategy !== "shadow" || metric === "prediction_shift");
  if (guardrails.length) plan.guardrails = guardrails;
  if (values.on_fail !== "rollback") plan.on_fail = values.on_fail;
  return plan;
}

/** The steps that a strategy begins with. */
export function defaultSteps(strategy) {
  const canary = [
    { kind: "shadow", percent: 100, for: "60s", min_requests: 200 },
    { kind: "weight", percent: 5, for: "60s", min_requests: 500 },
    { kind: "weight", percent: 25, for: "2m", min_requests: 500 },
    { kind: "weight", percent: 50, for: "5m", min_requests: 500 },
  ];
  return {
    canary,
    shadow: [{ kind: "shadow", percent: 100, for: "5m", min_requests: 1000 }],
    ab: [{ kind: "timed", for: "7d", min_requests: 10000 }],
    "blue-green": [],
  }[strategy];
}

export const GUARDRAILS = [
  { metric: "error_rate", limit: "max_increase", value: 0.005, on: true, words: "more errors than stable, at most" },
  { metric: "latency_p95", limit: "max_ratio", value: 1.2, on: true, words: "times stable's 95th percentile, at most" },
  { metric: "prediction_shift", limit: "max", value: 0.1, on: true, words: "of the predictions moved, at most" },
  { metric: "disagreement", limit: "max", value: 0.02, on: true, words: "other best classes in mirrored steps, at most" },
  { metric: "accuracy", limit: "max_decrease", value: 0.01, on: false, words: "fewer right answers by feedback, at most" },
];

function stepOf(step) {
  if (step.kind === "pause") return { pause: true };
  const timed = { for: step.for, min_requests: step.min_requests };
  return step.kind === "timed" ? timed : { [step.kind]: step.percent, ...timed };
}

function isAllowed(step, strategy) {
  if (strategy === "ab") return !("pause" in step || "shadow" in step || "weight" in step);
  if (!("for" in step)) return true;
  return strategy === "canary" ? "weight" in step || "shadow" in step : "shadow" in step;
}

function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (value === null || typeof value !== "object") return scalar(value);
  return `{${Object.entries(value).map(([name, each]) => `${scalar(name)}: ${flow(each)}`).join(", ")}}`;
}

function scalar(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return PLAIN.test(value) && !NUMBER.test(value) ? value : JSON.stringify(value);
}
