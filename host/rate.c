#include "host/rate.h"
#include <string.h>
#include "base/deadline.h"

void msub__rate_init(msub__rate *r, const msub_mem *mem, uint32_t burst, uint64_t each_ns, uint32_t max) {
  *r = (msub__rate){ .mem = *mem, .burst = burst, .each_ns = each_ns, .max = max };
}

void msub__rate_fini(msub__rate *r) {
  msub__free(&r->mem, r->rows, r->cap * sizeof *r->rows);
  r->rows = NULL;
  r->n = r->cap = 0;
}

static int compare(const msub__rate_row *row, msub_bytes key) {
  int c = memcmp(row->key, key.p, row->n < key.n ? row->n : key.n);
  return c ? c : (row->n > key.n) - (row->n < key.n);
}

static size_t place_of(const msub__rate *r, msub_bytes key) {
  size_t low = 0, high = r->n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (compare(&r->rows[mid], key) < 0) low = mid + 1;
    else high = mid;
  }
  return low;
}

static void sweep(msub__rate *r, uint64_t now) {
  size_t kept = 0;
  for (size_t i = 0; i < r->n; i++)
    if (!msub__passed(r->rows[i].full_at, now)) r->rows[kept++] = r->rows[i];
  r->n = kept;
}

/* Room for one more. */
static bool reserve(msub__rate *r, uint64_t now) {
  if (r->n < r->cap) return true;
  sweep(r, now);
  if (r->n < r->cap) return true;
  if (r->n >= r->max) return false;
  size_t cap = r->cap ? r->cap * 2 : 16;
  if (cap > r->max) cap = r->max;
  msub__rate_row *rows = msub__realloc(&r->mem, r->rows, r->cap * sizeof *rows, cap * sizeof *rows);
  if (!rows) return false;
  r->rows = rows;
  r->cap = cap;
  return true;
}

msub__rate_row *msub__rate_find(msub__rate *r, msub_bytes key, uint64_t now) {
  if (key.n == 0 || key.n > MSUB_PEER_ID_MAX) return NULL;
  size_t at = place_of(r, key);
  if (at < r->n && compare(&r->rows[at], key) == 0) {
    msub__rate_row *row = &r->rows[at];
    uint64_t missing = row->full_at > now ? row->full_at - now : 0;
    return missing <= msub__sat_mul_u64(r->each_ns, r->burst - 1) ? row : NULL;
  }
  if (!reserve(r, now)) return NULL;
  at = place_of(r, key);
  memmove(r->rows + at + 1, r->rows + at, (r->n - at) * sizeof *r->rows);
  r->n++;
  r->rows[at] = (msub__rate_row){ .full_at = now, .n = (uint8_t)key.n };
  memcpy(r->rows[at].key, key.p, key.n);
  return &r->rows[at];
}

void msub__rate_take(const msub__rate *r, msub__rate_row *row, uint64_t now) {
  row->full_at = msub__deadline(row->full_at > now ? row->full_at : now, r->each_ns);
}
