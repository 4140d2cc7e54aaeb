import { getHeapStatistics } from 'node:v8'

const MIN_BYTES = 16 * 1_048_576
const MAX_BYTES = 512 * 1_048_576

/** Bytes that suit a process whose heap is this large: `share` of the heap's limit, 16-512 MiB. */
export function heapShare(share: number): number {
  const { heap_size_limit: heapBytes } = getHeapStatistics()
  return Math.min(MAX_BYTES, Math.max(MIN_BYTES, heapBytes * share))
}
