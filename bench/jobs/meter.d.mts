/** Performs one job. */
export declare function perform(id: string): Promise<void> | undefined
