/* Command lines: options may stand anywhere, "--name value" and "--name=value" are the same, "--" ends them.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H
#include "cli/text.h"

typedef struct text_list {
  const char **v;
  size_t n;
} text_list;

typedef enum option_kind {
  OPT_FLAG,    /* bool */
  OPT_MAYBE,   /* --name, which sets *given only, or --name=VALUE: const char * */
  OPT_COUNT,   /* unsigned: how often */
  OPT_TEXT,    /* const char * */
  OPT_LIST,    /* text_list, one more each time */
  OPT_NUMBER,  /* uint64_t, lo … hi */
  OPT_DURATION /* uint64_t, nanoseconds, at least 1 ms */
} option_kind;

typedef struct option_row {
  const char *name; /* "--connect"; NULL ends the table */
  char letter;      /* 'v' for -v, or 0 */
  option_kind kind;
  const char *value; /* what the help calls the value: "ADDR" */
  const char *help;  /* newlines begin further lines */
  void *to;
  uint64_t lo, hi;
  bool *given; /* may be NULL */
} option_row;

typedef struct command {
  const char *program; /* "meshsub pub": in front of errors */
  const char *usage;   /* "TOPIC [TEXT | -] [options]" */
  const char *about;   /* paragraphs in front of the options */
  const char *after;   /* and behind; may be NULL */
} command;

/* A manual page in man(7), as --man of each command prints it: the same texts as --help. Not in --help: it is for the build. */
void man_begin(const char *program, const char *name_line);
void man_text(const char *text); /* paragraphs, separated by empty lines */
void man_section(const char *name);
void man_item(const char *left, const char *text);

/* The rest of the command line (argv[0] is skipped). -1: go on, else the exit code: --help or --man was served, or an
 * error said. */
int options_read(const command *c, const option_row *rows, int argc, char **argv, text_list *arguments);
void list_add(text_list *l, const char *text);
/* The value of an option on the command line before anything is read; NULL: it is not there. */
const char *option_value(const option_row *rows, int argc, char **argv, const char *name);
const option_row *option_named(const option_row *rows, const char *name);
/* Sets it as if it stood on the command line. -1, or an exit code. */
int option_set(const command *c, const option_row *r, const char *text);

/* Where values come from that do not stand on the command line: a file. What usage_error() says of such a value names file, line and key in
 * place of the option, and is EXIT_FAILED. Set anew by the command line, a value is the command line's. */
void origins_begin(const char *file); /* forgets all; NULL: there is no file */
void origin_add(const option_row *r, const char *key, const char *value, unsigned line);
/* Says that something about the command line is wrong, and where help is; returns EXIT_USAGE. */
int usage_error(const command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "5s", "200ms", "1h30m", "1.5s": units h m s ms us ns. */
bool read_duration(const char *text, uint64_t *ns);
bool read_number(const char *text, uint64_t *value);
/* The candidate that `text` is probably meant to be, or NULL. `next` yields them one by one, NULL at the end.
 */
const char *nearest(const char *text, const char *(*next)(const void *ud, size_t i), const void *ud);

#endif
