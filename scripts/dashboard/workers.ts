import { ALL, line, SCALER, scaler, type Row } from './panel.ts'

/** The row about worker processes. */
export const WORKERS: Row = {
  title: 'Workers',
  width: 6,
  height: 8,
  panels: [
    {
      title: 'Slots',
      about: 'Jobs that could run at once, and that do.',
      unit: 'short',
      targets: [line(`sum(resqueue_slots{${ALL}})`, 'slots'), line(`sum(resqueue_slots_busy{${ALL}})`, 'busy')],
    },
    {
      title: 'Registered workers',
      about: 'The family’s registry: one per slot of ours, one per worker of other programs.',
      unit: 'short',
      stacked: true,
      targets: [line(`sum by (state) (max by (namespace, job, state) (resqueue_workers{${ALL}}))`, '{{state}}')],
    },
    {
      title: 'Start of a job’s process',
      about: 'Half of them, and 99 %.',
      unit: 's',
      targets: [
        line(
          `histogram_quantile(0.5, sum by (le) (rate(resqueue_fork_duration_seconds_bucket{${ALL}}[$__rate_interval])))`,
          'p50',
        ),
        line(
          `histogram_quantile(0.99, sum by (le) (rate(resqueue_fork_duration_seconds_bucket{${ALL}}[$__rate_interval])))`,
          'p99',
        ),
      ],
    },
    {
      title: 'Jobs recovered from lost workers',
      about: 'Put back or failed, per hour.',
      unit: 'short',
      targets: [line(`sum(increase(resqueue_jobs_recovered_total{${ALL}}[1h]))`, 'recovered')],
    },
    {
      title: 'Reserve loop',
      about: 'Time since it moved; liveness fails at 60 s.',
      unit: 's',
      targets: [line(`max by (pod) (resqueue_reserve_loop_age_seconds{${ALL}})`, '{{pod}}')],
    },
    {
      title: 'Event loop, 99 %',
      about: 'Interval of a 50 ms timer in the worker’s own process: 50 ms means no lag.',
      unit: 's',
      targets: [line(`max by (pod) (nodejs_eventloop_lag_p99_seconds{${ALL}})`, '{{pod}}')],
    },
    {
      title: 'Memory of the worker',
      about: 'Resident, without the jobs’ processes.',
      unit: 'bytes',
      targets: [line(`max by (pod) (process_resident_memory_bytes{${ALL}})`, '{{pod}}')],
    },
    {
      title: 'CPU of the worker',
      about: 'Cores, without the jobs’ processes.',
      unit: 'short',
      targets: [line(`sum by (pod) (rate(process_cpu_seconds_total{${ALL}}[$__rate_interval]))`, '{{pod}}')],
    },
    {
      title: 'Calls to Redis',
      about: 'Per second; a script or a pipeline is one.',
      unit: 'ops',
      targets: [line(`sum by (pod) (rate(resqueue_redis_commands_total{${ALL}}[$__rate_interval]))`, '{{pod}}')],
    },
    {
      title: 'Connections lost',
      about: 'Connections to Redis that were lost and opened again, per hour.',
      unit: 'short',
      targets: [line(`sum by (pod) (increase(resqueue_redis_reconnects_total{${ALL}}[1h])) > 0`, '{{pod}}')],
    },
  ],
}

/** The row about the controller. */
export const SCALING: Row = {
  title: 'Scaling',
  width: 8,
  height: 8,
  panels: [
    {
      title: 'Replicas',
      about: 'Wanted by the controller, as the Deployment has it, and ready.',
      unit: 'short',
      targets: [
        scaler('resqueue_scaler_desired_replicas', '{{namespace}}/{{name}} desired'),
        scaler('resqueue_scaler_replicas', '{{namespace}}/{{name}} replicas'),
        scaler('resqueue_scaler_ready_replicas', '{{namespace}}/{{name}} ready'),
      ],
    },
    {
      title: 'Why: terms of the demand',
      about: 'Replicas that each term asks for; the largest counts.',
      unit: 'short',
      targets: [
        line(
          `max by (namespace, name, term) (resqueue_scaler_demand_replicas{${SCALER}})`,
          '{{namespace}}/{{name}} {{term}}',
        ),
      ],
    },
    {
      title: 'Latency as the controller sees it',
      about: 'Age of the first job over the queues of a WorkerScaler.',
      unit: 's',
      targets: [scaler('resqueue_scaler_latency_seconds', '{{namespace}}/{{name}}')],
    },
    {
      title: 'Jobs',
      about: 'Waiting and running.',
      unit: 'short',
      targets: [
        line(`max by (namespace, name, state) (resqueue_scaler_jobs{${SCALER}})`, '{{namespace}}/{{name}} {{state}}'),
      ],
    },
    {
      title: 'Arrivals',
      about: 'Jobs per second.',
      unit: 'ops',
      targets: [scaler('resqueue_scaler_arrival_rate', '{{namespace}}/{{name}}')],
    },
    {
      title: 'Service time',
      about: 'What a job takes, on average.',
      unit: 's',
      targets: [scaler('resqueue_scaler_service_seconds', '{{namespace}}/{{name}}')],
    },
    {
      title: 'Decisions',
      about: 'Changes of replicas per hour, by direction and reason.',
      unit: 'short',
      targets: [
        line(
          `sum by (namespace, name, direction, reason) (increase(resqueue_scaler_decisions_total{${SCALER}}[1h])) > 0`,
          '{{namespace}}/{{name}} {{direction}} {{reason}}',
        ),
      ],
    },
    {
      title: 'Held',
      about: '1 while the controller leaves replicas as they are, and why.',
      unit: 'short',
      max: 1,
      targets: [
        line(
          `max by (namespace, name, reason) (resqueue_scaler_held{${SCALER}}) == 1`,
          '{{namespace}}/{{name}} {{reason}}',
        ),
      ],
    },
    {
      title: 'Draining',
      about: 'Pods that take no more jobs and wait to be removed.',
      unit: 'short',
      targets: [scaler('resqueue_scaler_draining_pods', '{{namespace}}/{{name}}')],
    },
    {
      title: 'Reconciliation, 95 %',
      about: 'How long the controller takes to look at one WorkerScaler.',
      unit: 's',
      targets: [
        line(
          `histogram_quantile(0.95, sum by (le) (rate(resqueue_reconcile_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))`,
          'p95',
        ),
      ],
    },
    {
      title: 'Unserved jobs',
      about: 'Jobs that wait in queues that no worker serves and no WorkerScaler lists, by Redis connection.',
      unit: 'short',
      targets: [line('max by (connection) (resqueue_unserved_jobs{job=~"$job"})', '{{connection}}')],
    },
    {
      title: 'Leader',
      about: '1 for the pod that leads.',
      unit: 'short',
      max: 1,
      targets: [line(`max by (pod) (resqueue_leader{job=~"$job"})`, '{{pod}}')],
    },
  ],
}
