/* tests/fuzz/fuzz_http.c: requests to the metrics endpoint (cli/http.c, cli/serve.c).
 *
 * The input: a byte whose upper half says how many bytes go at a time (a power of two), then the request. Whatever comes there is at most one
 * answer, whole, of as many bytes as it says, and the connection ends; it does not depend on the pieces. Metrics are only told to a request whose
 * one Host is the endpoint's. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "cli/http.h"
#include "tests/fuzz/cli_node.h"
#include "tests/fuzz/fuzz.h"

static http *endpoint;
static void clean_up(void) { http_close(endpoint); }

static http *served(void) {
  static const http_options o = { .listen = "127.0.0.1:0" };
  if (endpoint) return endpoint;
  FUZZ_CHECK(http_open(fuzz_node(), &o, &endpoint) < 0);
  (void)atexit(clean_up);
  return endpoint;
}

/* The value of the one Host line of a request, in lower case, without a port; empty: none, or several. Written apart from the endpoint's. */
static void host_in(const char *text, size_t n, char out[64]) {
  size_t at = 0, found = 0;
  out[0] = 0;
  for (unsigned line = 0; at < n; line++) {
    size_t end = at;
    while (end < n && text[end] != '\n') end++;
    if (line > 0 && (end == at || (end == at + 1 && text[at] == '\r'))) break;
    if (line > 0 && end - at > 5 && strncasecmp(text + at, "host:", 5) == 0) {
      size_t k = 0, from = at + 5, to = end;
      while (from < to && (text[from] == ' ' || text[from] == '\t')) from++;
      for (; from + k < to && k < 63; k++) out[k] = (char)tolower((unsigned char)text[from + k]);
      while (k > 0 && (out[k - 1] == ' ' || out[k - 1] == '\t' || out[k - 1] == '\r')) k--;
      out[k] = 0;
      if (out[0] == '[' ? strchr(out, ']') != NULL : strchr(out, ':') != NULL) {
        char *colon = out[0] == '[' ? strchr(out, ']') + 1 : strchr(out, ':');
        if (*colon == ':') *colon = 0;
      }
      found++;
    }
    at = end + 1;
  }
  if (found != 1) out[0] = 0;
}

/* 0: no answer. */
static unsigned check_answer(const talk *t, bool head) {
  static const unsigned known[] = { 200, 400, 404, 405, 421, 431 };
  unsigned code = 0, length = 0, i = 0;
  if (t->out_n == 0) return 0;
  char *text = malloc(t->out_n + 1);
  FUZZ_CHECK(text);
  memcpy(text, t->out, t->out_n);
  text[t->out_n] = 0;
  FUZZ_CHECK(sscanf(text, "HTTP/1.1 %3u ", &code) == 1);
  while (i < sizeof known / sizeof *known && known[i] != code) i++;
  FUZZ_CHECK(i < sizeof known / sizeof *known);
  const char *body = strstr(text, "\r\n\r\n"), *says = strstr(text, "\r\nContent-Length: "), *ends = strstr(text, "\r\nConnection: close\r\n");
  FUZZ_CHECK(body && says && ends && says < body && ends < body && sscanf(says, "\r\nContent-Length: %u\r\n", &length) == 1 && length > 0);
  size_t sent = t->out_n - (size_t)(body + 4 - text);
  FUZZ_CHECK(sent == length || (code == 200 && head && sent == 0));
  free(text);
  return code;
}

static unsigned ask(const uint8_t *data, size_t size, size_t piece, bool head) {
  talk t;
  server *s = http_server(served());
  talk_begin(&t, s, data, size, piece);
  talk_all(&t, 1, s);
  unsigned code = check_answer(&t, head);
  talk_end(&t);
  return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const ours[] = { "localhost", "127.0.0.1", "[::1]" };
  if (size == 0 || size > 65536) return 0;
  size_t piece = (size_t)1 << (data[0] >> 4), i = 0;
  bool head = size > 5 && memcmp(data + 1, "HEAD ", 5) == 0;
  unsigned code = ask(data + 1, size - 1, size, head), again = ask(data + 1, size - 1, piece, head);
  FUZZ_CHECK(code == again);
  if (code != 200) return 0;
  char host[64];
  host_in((const char *)data + 1, size - 1, host);
  while (i < sizeof ours / sizeof *ours && strcmp(ours[i], host) != 0) i++;
  FUZZ_CHECK(i < sizeof ours / sizeof *ours);
  FUZZ_CHECK(head || memcmp(data + 1, "GET ", 4) == 0);
  return 0;
}
