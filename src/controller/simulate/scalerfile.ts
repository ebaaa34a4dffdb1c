import { ResQueueError } from '../../errors.ts'
import { API_VERSION, KIND, type Scaler } from '../api.ts'
import { isObject } from '../../json.ts'
import { problemText, readScaler } from '../readscaler.ts'
import { readYaml } from '../yaml.ts'

/**
 * The first `WorkerScaler` of a YAML file, which may hold other objects too. Throws `CONFIG`, with the file and the
 * line of what is wrong.
 */
export function readScalerFile(text: string, file: string): Scaler {
  const documents = readYaml(text, file)
  const document =
    documents.find(({ value }) => isObject(value) && value['kind'] === KIND) ??
    documents.find(({ value }) => value !== null)
  if (!document)
    throw new ResQueueError(
      'CONFIG',
      `${file}:1: there is no ${KIND} in the file; write apiVersion: ${API_VERSION}, kind: ${KIND}, …`,
    )
  const reading = readScaler(document.value, { strict: true })
  if (reading.ok) return reading.scaler
  const told = reading.problems
    .slice(0, 5)
    .map((problem) => `${file}:${document.lineOf(problem.path)}: ${problemText(problem)}`)
  throw new ResQueueError('CONFIG', told.join('; '))
}
