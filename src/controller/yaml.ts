import { LineCounter, parseAllDocuments, type Document } from 'yaml'
import { ResQueueError } from '../errors.ts'
import type { Path } from './fields.ts'

/** One document of a YAML file. */
export interface YamlDocument {
  readonly value: unknown
  /** The line, from 1, of the value at this path, or of the nearest thing around it that is there. */
  readonly lineOf: (path: Path) => number
}

/** Reads all documents of a YAML or JSON file. Throws `CONFIG` with file and line where it is not YAML. */
export function readYaml(text: string, file: string): readonly YamlDocument[] {
  const lineCounter = new LineCounter()
  const parsed = parseAllDocuments(text.replace(/^\uFEFF/, ''), { lineCounter, prettyErrors: false })
  const documents = Array.isArray(parsed) ? (parsed as readonly Document.Parsed[]) : []
  const lineAt = (offset: number): number => Math.max(1, lineCounter.linePos(offset).line)
  for (const { errors } of documents) {
    const [error] = errors
    if (error)
      throw new ResQueueError(
        'CONFIG',
        `${file}:${lineAt(error.pos[0])}: this is not YAML: ${error.message.split('\n')[0]}`,
      )
  }
  return documents.map((document) => ({
    // A billion laughs is an error here and not a full memory.
    value: toValue(document, file),
    lineOf: (path) => {
      for (let length = path.length; length > 0; length--) {
        const node = document.getIn(path.slice(0, length), true) as { range?: readonly number[] } | undefined
        if (node?.range) return lineAt(node.range[0] as number)
      }
      return lineAt(document.contents?.range?.[0] ?? 0)
    },
  }))
}

function toValue(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (error) {
    throw new ResQueueError('CONFIG', `${file}: ${(error as Error).message}`, { cause: error })
  }
}
