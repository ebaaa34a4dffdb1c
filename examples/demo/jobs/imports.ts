import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineJob } from 'resqueue/job'
import { performed, workFolder } from '../ledger.ts'

/** A Ruby class name with Ruby's positional arguments: adds up the orders of a CSV file by country. */
export const ImportOrders = defineJob<[file: string, options: { no: number }]>(
  'Reports::Import',
  async (file, { no }) => {
    const [head = '', ...rows] = (await readFile(file, 'utf8')).trimEnd().split('\n')
    const columns = head.split(',')
    const [country, amount] = [columns.indexOf('country'), columns.indexOf('amount')]
    const totals: Record<string, number> = {}
    for (const row of rows) {
      const cells = row.split(',')
      const key = cells[country] ?? ''
      totals[key] = (totals[key] ?? 0) + Number(cells[amount])
    }
    await writeFile(join(workFolder(), `${no}.json`), JSON.stringify({ file, rows: rows.length, totals }))
    performed(no)
  },
)
