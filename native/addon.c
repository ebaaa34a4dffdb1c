/* What JavaScript sees of the native part. Every function either does one system call's worth of work or throws its errno. */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "zygote.h"

#define MAX_ARGUMENTS 4

static struct errand current;

static napi_value failure(napi_env env, const char *call) {
  char message[160];
  snprintf(message, sizeof message, "%s: %s", call, strerror(errno));
  napi_throw_error(env, NULL, message);
  return NULL;
}

static void arguments(napi_env env, napi_callback_info info, napi_value out[MAX_ARGUMENTS]) {
  size_t count = MAX_ARGUMENTS;
  napi_get_cb_info(env, info, &count, out, NULL, NULL);
}

static int32_t int_of(napi_env env, napi_value value) {
  int32_t out = -1;
  napi_get_value_int32(env, value, &out);
  return out;
}

static napi_value number(napi_env env, double value) {
  napi_value out;
  napi_create_double(env, value, &out);
  return out;
}

static napi_value two_fds(napi_env env, const int fds[2]) {
  napi_value out;
  napi_create_array_with_length(env, 2, &out);
  napi_set_element(env, out, 0, number(env, fds[0]));
  napi_set_element(env, out, 1, number(env, fds[1]));
  return out;
}

/* socketpair(): [a, b], both close-on-exec and blocking. */
static napi_value make_socketpair(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return failure(env, "socketpair");
  return two_fds(env, fds);
}

/* pipe(): [read, write], both close-on-exec and blocking. */
static napi_value make_pipe(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return failure(env, "pipe2");
  return two_fds(env, fds);
}

/* ask(control, op|seat|generation|argument as a 16-byte buffer, fds?): 0, or the errno as a negative number. Never blocks. */
static napi_value ask(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  void *data;
  size_t length;
  if (napi_get_buffer_info(env, args[1], &data, &length) != napi_ok || length != sizeof(struct request)) {
    errno = EINVAL;
    return failure(env, "ask");
  }
  union {
    char space[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr align;
  } ancillary;
  memset(&ancillary, 0, sizeof ancillary);
  struct iovec part = {data, length};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  bool with_fds = false;
  napi_is_array(env, args[2], &with_fds);
  if (with_fds) {
    message.msg_control = ancillary.space;
    message.msg_controllen = sizeof ancillary.space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(3 * sizeof(int));
    for (uint32_t i = 0; i < 3; i++) {
      napi_value element;
      napi_get_element(env, args[2], i, &element);
      int fd = int_of(env, element);
      memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  ssize_t sent = sendmsg(int_of(env, args[0]), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return number(env, sent == (ssize_t)length ? 0 : -errno);
}

/*
 * drain(fd): what can be read without waiting, or undefined. Pipes must not block; of one that somebody goes on filling, no more
 * is read than it can hold.
 */
static napi_value drain(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  int fd = int_of(env, args[0]);
  char *all = NULL;
  size_t length = 0, capacity = 0, most = SIZE_MAX;
  int waiting = 0;
  if (ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0) { /* as a rule: one call instead of four */
    napi_value nothing;
    napi_get_undefined(env, &nothing);
    return nothing;
  }
  for (;;) {
    if (capacity - length < 65536) {
      char *more = realloc(all, capacity + 65536);
      if (more == NULL) break;
      all = more;
      capacity += 65536;
    }
    ssize_t n = recv(fd, all + length, capacity - length, MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK) {
      if (most == SIZE_MAX) {
        int holds = fcntl(fd, F_GETPIPE_SZ);
        most = holds > 0 ? (size_t)holds : 65536;
      }
      n = read(fd, all + length, capacity - length);
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    length += (size_t)n;
    if (length >= most) break;
  }
  napi_value out;
  if (length == 0) napi_get_undefined(env, &out);
  else napi_create_buffer_copy(env, length, all, NULL, &out);
  free(all);
  return out;
}

static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  close(int_of(env, args[0]));
  return NULL;
}

/* write(fd, buffer): everything, waiting as long as it takes. */
static napi_value write_buffer(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  void *data;
  size_t length;
  napi_get_buffer_info(env, args[1], &data, &length);
  if (write_all(int_of(env, args[0]), data, length) != 0) return failure(env, "write");
  return NULL;
}

static napi_value leave(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  _exit(int_of(env, args[0]));
}

static napi_value die_with(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  end_group_with_parent(int_of(env, args[0]));
  return NULL;
}

/* begun(): in a forked child, proof that its JavaScript runs. */
static napi_value mark_begun(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  zygote_begun(&current);
  return NULL;
}

/* The eight numbers of an Int32Array, or NULL. */
static int32_t *numbers_of(napi_env env, napi_value value) {
  void *numbers;
  size_t length;
  napi_typedarray_type type;
  errno = EINVAL;
  if (napi_get_typedarray_info(env, value, &type, &length, &numbers, NULL, NULL) != napi_ok) return NULL;
  return type == napi_int32_array && length == 8 ? numbers : NULL;
}

/* The current errand's body as a string; its memory is given back. */
static napi_value take_body(napi_env env) {
  napi_value body;
  napi_create_string_utf8(env, current.body, current.length, &body);
  free(current.body);
  current.body = NULL;
  return body;
}

/* serve(control, waitingTitle, numbers): returns in forked children only. `numbers` gets channel, pid, ppid, nothing, and four random ones. */
static napi_value serve(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  static char title[256];
  napi_get_value_string_utf8(env, args[1], title, sizeof title, NULL);
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    errno = EINVAL;
    return failure(env, "napi_get_uv_event_loop");
  }
  int32_t *numbers = numbers_of(env, args[2]);
  if (numbers == NULL) return failure(env, "serve");
  current = zygote_serve(int_of(env, args[0]), loop, title);
  if (getrandom(numbers + 4, 4 * sizeof *numbers, 0) < 0) return failure(env, "getrandom");
  numbers[0] = current.channel;
  numbers[1] = getpid();
  numbers[2] = current.zygote;
  return NULL;
}

/* receive(fd, numbers): waits for a frame and returns its body; its type is put into numbers[3]. Leaves when the other end closes. */
static napi_value receive_frame(napi_env env, napi_callback_info info) {
  napi_value args[MAX_ARGUMENTS];
  arguments(env, info, args);
  int32_t *numbers = numbers_of(env, args[1]);
  if (numbers == NULL) return failure(env, "receive");
  current.channel = int_of(env, args[0]);
  await_errand(&current);
  numbers[3] = current.type;
  return take_body(env);
}

/* The context-aware form: worker threads (test runners) may load it as well. */
NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {
      {"socketpair", make_socketpair}, {"pipe", make_pipe},   {"ask", ask},
      {"drain", drain},                {"close", close_fd},   {"write", write_buffer},
      {"exit", leave},                 {"dieWith", die_with}, {"begun", mark_begun},
      {"serve", serve},                {"receive", receive_frame},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
