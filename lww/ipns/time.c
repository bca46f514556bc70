/* lww/ipns/time.c: end of life as text, RFC 3339. Years 0 to 9999 do not fit in 64 bits of nanoseconds. */
#include "meshsub/ipns.h"
#include <string.h>

#define DAY INT64_C(86400)

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar. Years begin in March here, so that leap days come last. */
static int64_t days_to(int64_t y, int64_t m, int64_t d) {
  if (m <= 2) y--;
  int64_t era = (y >= 0 ? y : y - 399) / 400, year = y - era * 400;
  int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

static bool leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }
static int64_t month_days(int64_t y, int64_t m) {
  static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
  return m == 2 && leap(y) ? 29 : days[m - 1];
}

/* n digits at *at. */
static bool digits(msub_bytes t, size_t *at, unsigned n, int64_t *v) {
  *v = 0;
  if (t.n - *at < n) return false;
  for (unsigned i = 0; i < n; i++) {
    uint8_t c = t.p[(*at)++];
    if (c < '0' || c > '9') return false;
    *v = *v * 10 + (c - '0');
  }
  return true;
}
static bool one(msub_bytes t, size_t *at, char c) { return *at < t.n && t.p[(*at)++] == (uint8_t)c; }

static bool fraction(msub_bytes t, size_t *at, uint32_t *ns) {
  uint32_t unit = 100000000;
  size_t first = ++*at;
  *ns = 0;
  for (; *at < t.n && t.p[*at] >= '0' && t.p[*at] <= '9'; ++*at, unit /= 10) *ns += unit * (uint32_t)(t.p[*at] - '0');
  return *at > first;
}

static bool zone(msub_bytes t, size_t *at, int64_t *offset) {
  int64_t h, m;
  *offset = 0;
  if (*at == t.n) return false;
  uint8_t c = t.p[(*at)++];
  if (c == 'Z') return true;
  if ((c != '+' && c != '-') || !digits(t, at, 2, &h) || !one(t, at, ':') || !digits(t, at, 2, &m) || h > 23 || m > 59) return false;
  *offset = (h * 60 + m) * 60 * (c == '-' ? -1 : 1);
  return true;
}

int msub_ipns_time_parse(msub_bytes t, msub_ipns_time *out) {
  int64_t y, mo, d, h, mi, s, offset;
  size_t at = 0;
  uint32_t ns = 0;
  bool good = digits(t, &at, 4, &y) && one(t, &at, '-') && digits(t, &at, 2, &mo) && one(t, &at, '-') && digits(t, &at, 2, &d) && one(t, &at, 'T') &&
              digits(t, &at, 2, &h) && one(t, &at, ':') && digits(t, &at, 2, &mi) && one(t, &at, ':') && digits(t, &at, 2, &s);
  if (!good || mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || s > 59) return MSUB_ERR_MALFORMED;
  if (at < t.n && t.p[at] == '.' && !fraction(t, &at, &ns)) return MSUB_ERR_MALFORMED;
  if (!zone(t, &at, &offset) || at != t.n) return MSUB_ERR_MALFORMED;
  *out = (msub_ipns_time){ days_to(y, mo, d) * DAY + h * 3600 + mi * 60 + s - offset, ns };
  return MSUB_OK;
}

static void write_digits(char *out, unsigned n, int64_t v) {
  for (unsigned i = n; i-- > 0; v /= 10) out[i] = (char)('0' + v % 10);
}

int msub_ipns_time_text(msub_ipns_time t, char out[31]) {
  if (t.s < days_to(0, 1, 1) * DAY || t.s >= days_to(10000, 1, 1) * DAY || t.ns > 999999999) return MSUB_ERR_INVAL;
  int64_t day = (t.s >= 0 ? t.s : t.s - DAY + 1) / DAY, s = t.s - day * DAY, y = 1970 + day / 366, m = 1;
  while (days_to(y + 1, 1, 1) <= day) y++; /* a few steps: a year was taken to have 366 days */
  while (days_to(y, 1, 1) > day) y--;
  while (m < 12 && days_to(y, m + 1, 1) <= day) m++;
  memcpy(out, "0000-00-00T00:00:00.000000000Z", 31);
  write_digits(out, 4, y);
  write_digits(out + 5, 2, m);
  write_digits(out + 8, 2, day - days_to(y, m, 1) + 1);
  write_digits(out + 11, 2, s / 3600);
  write_digits(out + 14, 2, s / 60 % 60);
  write_digits(out + 17, 2, s % 60);
  write_digits(out + 20, 9, t.ns);
  return MSUB_OK;
}

msub_ipns_time msub_ipns_time_of(int64_t ns) {
  int64_t s = ns / 1000000000, rest = ns % 1000000000;
  if (rest < 0) {
    rest += 1000000000;
    s--;
  }
  return (msub_ipns_time){ s, (uint32_t)rest };
}
