import { getHeapStatistics } from 'node:v8'

const MIN_BYTES = 16 * 1_048_576
const MAX_BYTES = 512 * 1_048_576

/** `share` of the heap limit of this process, in bytes: 16 MiB at least, 512 MiB at most. */
export function heapShare(share: number): number {
  const { heap_size_limit: heapBytes } = getHeapStatistics()
  return Math.min(MAX_BYTES, Math.max(MIN_BYTES, heapBytes * share))
}
