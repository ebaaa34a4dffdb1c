/**
 * What names a job: its name, a definition (`defineJob`), or a job class (its static `jobName`, else the class's name).
 */
export type JobRef = string | { readonly jobName: string } | (abstract new (...args: never[]) => unknown)

/** The argument of `enqueue(queue, job, argument)`: an object (what PHP workers need), a list, or null. */
export type JobArgs = object | null

/** A context's shape. No argument has it: a signal is no JSON. */
interface ContextLike {
  readonly id: string
  readonly attempt: number
  readonly signal: AbortSignal
}

type LeaveOut<Last, Params, Rest> = unknown extends Last
  ? Params
  : Exclude<Last, undefined> extends ContextLike
    ? Rest
    : Params

/** The payload's arguments of a handler or `perform` with these parameters: all but the context at their end. */
export type WithoutContext<P extends readonly unknown[]> = P extends readonly [...infer Rest, infer Last]
  ? LeaveOut<Last, P, Rest>
  : P extends readonly [...infer Rest, (infer Last)?]
    ? LeaveOut<Last, P, Rest>
    : P

/** Code that declares no parameter may still read its arguments, by `this.args` or `currentJob()`. */
type Declared<P extends readonly unknown[]> = P extends readonly [] ? readonly unknown[] : Readonly<P>

/** A class whose `perform` declares no parameter says by the type of its `args` what its first argument is. */
type Instantiated<I, P extends readonly unknown[]> = [P, I] extends [readonly [], { readonly args: infer A }]
  ? unknown extends A
    ? Declared<P>
    : readonly [A]
  : Declared<P>

/** The payload's list of arguments, as far as a job's definition or class says what it takes. */
export type ParamsOf<J> = J extends string
  ? readonly unknown[]
  : J extends abstract new (...args: never[]) => infer Instance
    ? Instance extends { perform(...args: infer P): unknown }
      ? Instantiated<Instance, WithoutContext<P>>
      : readonly unknown[]
    : J extends { readonly args?: infer A }
      ? A extends readonly unknown[]
        ? Declared<A>
        : readonly unknown[]
      : readonly unknown[]

/** What a job takes as its first argument, as far as its definition or class says. */
export type ArgsOf<J> = Sendable<ParamsOf<J>[0]>

/** `enqueue(queue, job, argument)` takes no text or number, lest options are taken for an argument. */
type Sendable<A> = unknown extends A ? JobArgs : Extract<A, JobArgs>

/**
 * What follows the job in `enqueue(queue, job, …)`: its one argument, which may be left out where the job can do
 * without, then the options. A job that cannot do with one argument takes none of this: `enqueue({ queue, class, args
 * })` is for it.
 */
export type EnqueueRest<J, Options> = J extends unknown
  ? ParamsOf<J> extends infer P
    ? P extends readonly []
      ? [args?: undefined, options?: Options]
      : [] extends P
        ? [args?: ArgsOf<J>, options?: Options]
        : P extends readonly [unknown, ...infer More]
          ? [] extends More
            ? [args: ArgsOf<J>, options?: Options]
            : [never, 'This job takes more than one argument: use enqueue({ queue, class, args: […] }).']
          : [args?: ArgsOf<J>, options?: Options]
    : never
  : never
