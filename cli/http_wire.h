/* HTTP/1 as far as this command speaks it: where it listens, and what a request says. A connection carries one request. Nothing here copies: slices
 * point into the bytes that came. */
#ifndef CLI_HTTP_WIRE_H
#define CLI_HTTP_WIRE_H
#include "cli/options.h"
#include <netinet/in.h>

#define HTTP_REQUEST_BYTES 8192u /* of a head: request line, headers and the empty line */

/* ---- the address ---- */

typedef struct http_bind {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } at;
  socklen_t n;
  bool loopback;
  char address[INET6_ADDRSTRLEN + 2]; /* as a URL has it; by http_listen() */
  unsigned port;
} http_bind;

/* "127.0.0.1:9090", "[::1]:9090". -1, or EXIT_USAGE with the error said: no address, or one that can be reached from the network without `open`.
 * `option`: "--metrics"; `open_option`: the one that allows it. */
int http_address(const command *c, const char *option, const char *text, const char *open_option, bool open, http_bind *out);
/* Listens there. -1, *fd and the port that it is; or an exit code with the error said. */
int http_listen(const char *program, const char *option, const char *text, http_bind *b, int *fd);

/* ---- requests ---- */

typedef struct http_request {
  msub_bytes method, path, query; /* path: from "/" to "?"; query: what is behind it, may be empty */
  msub_bytes headers;             /* their lines */
} http_request;

/* The bytes of a whole head in front, its empty line included; 0: it is not whole yet; SIZE_MAX: it is longer than HTTP_REQUEST_BYTES. */
size_t http_head(const uint8_t *in, size_t n);
/* false: no request of HTTP/1. */
bool http_parse(const uint8_t *head, size_t n, http_request *out);
/* How many headers have this name, in any case; *value: of the first one, without blanks around it. */
size_t http_header(const http_request *r, const char *name, msub_bytes *value);
bool http_method_is(const http_request *r, const char *method);
/* Does the text name the media type ("application/x-y"), in any case, whatever its parameters? */
bool http_type_is(msub_bytes value, const char *type);
/* Would a client with this Accept take it? Ranges with a wildcard count, and "q=0" means no. Of several that fit the most specific one decides. */
bool http_accepts(msub_bytes accept, const char *type);
/* Is the ETag, with its quotes, in an If-None-Match? Weak ones are the same here. */
bool http_tag_in(msub_bytes list, const char *tag);
/* "Sat, 28 Nov 2026 12:00:00 GMT". Seconds since 1970, of years 0 to 9999; others are moved to the next that is. */
void http_date(int64_t unix_s, char out[32]);

#endif
