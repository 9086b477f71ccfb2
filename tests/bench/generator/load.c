/* The load: asks servers faster than they can answer. It knows no protocol.
 *
 * Somebody else has opened the sockets, has said hello on them, and has written down what is to be sent, as it goes over
 * the wire: the tape. This program sends what is on the tape and counts how often a marker, which each answer (or each
 * delivery) contains once, comes back. So it costs little, and the same for every server.
 *
 *   load ask  SECONDS CONNECTIONS REQUESTS EACH WINDOW ONCE MARKER FD...   < tape
 *   load hear SECONDS SUBSCRIBERS REQUESTS EACH RATE   ONCE MARKER FD...   < tape
 *
 * ask:  each connection has its part of the tape, REQUESTS long, and plays it over and over (or ONCE) until SECONDS are
 *       over, with WINDOW requests under way. A request is answered when EACH markers have come.
 * hear: the first socket publishes the tape once, all of it at once (RATE 0) or RATE requests a second; each request makes
 *       EACH markers arrive at each of the other sockets. It ends when all have come, or after SECONDS.
 *
 * The tape on standard input: for each request its length (32 bits, of this machine) and its bytes. What was found is one
 * line of JSON on standard output. Times are in seconds. A WebSocket's ping is answered, wherever it comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (1 << 18)
#define ROOM 64  /* before the chunk: for what may be the first half of a marker */

struct conn {
    int fd;
    char *tape;        /* all requests, one behind the other */
    size_t *at;        /* where each begins; at[requests] is the end */
    double *sent;      /* when each was sent */
    long out, done;    /* requests sent and answered */
    long part;         /* markers of the request that is being answered, or deliveries heard */
    size_t tail_size;
    char tail[ROOM];
};

static char space[ROOM + CHUNK];
static const char *marker;
static size_t marker_size;
static long requests, each, heard, bytes;
static double *samples;
static long sample_count, sample_room;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void *room(size_t size) {
    void *found = calloc(1, size ? size : 1);
    if (!found) fail("no memory");
    return found;
}

static void sample(double taken) {
    if (sample_count == sample_room) {
        sample_room = sample_room ? 2 * sample_room : 1 << 16;
        samples = realloc(samples, sample_room * sizeof *samples);
        if (!samples) fail("no memory");
    }
    samples[sample_count++] = taken;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double share) {
    if (!sample_count) return 0;
    long place = (long)(share * sample_count);
    return samples[place < sample_count ? place : sample_count - 1];
}

/* --- what is sent ------------------------------------------------------------------------------------------------ */

static void read_tape(struct conn *c) {
    size_t size = 0, have = 1 << 16;
    c->tape = room(have);
    c->at = room((requests + 1) * sizeof *c->at);
    c->sent = room(requests * sizeof *c->sent);
    for (long n = 0; n < requests; n++) {
        uint32_t length;
        if (fread(&length, sizeof length, 1, stdin) != 1) fail("the tape is too short");
        while (size + length > have) c->tape = realloc(c->tape, have *= 2);
        if (!c->tape) fail("no memory");
        if (fread(c->tape + size, 1, length, stdin) != length) fail("the tape is too short");
        c->at[n] = size;
        size += length;
    }
    c->at[requests] = size;
}

static void wait_until_writable(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    if (poll(&one, 1, 10000) <= 0) fail("the server does not read");
}

/* Send so many of the next requests, as few writes as can be. */
static void ask(struct conn *c, long count) {
    while (count > 0) {
        long first = c->out % requests, some = count < requests - first ? count : requests - first;
        size_t begin = c->at[first], end = c->at[first + some];
        double at = now();
        for (long n = 0; n < some; n++) c->sent[first + n] = at;
        while (begin < end) {
            ssize_t size = send(c->fd, c->tape + begin, end - begin, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0 && errno != EAGAIN) fail("send");
            if (size < 0)
                wait_until_writable(c->fd);
            else
                begin += size;
        }
        c->out += some;
        count -= some;
    }
}

/* --- what is heard ------------------------------------------------------------------------------------------------ */

static void answer_pings(int fd, const char *data, size_t size) {
    const char *end = data + size;
    while ((data = memchr(data, 0x89, end - data)) && end - data >= 6) {
        if (data[1] == 4) {
            char pong[10] = {(char)0x8a, (char)0x84, 0, 0, 0, 0, data[2], data[3], data[4], data[5]};
            if (send(fd, pong, sizeof pong, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) fail("pong");
        }
        data++;
    }
}

/* Read what there is, once: how many markers that was. */
static long hear(struct conn *c) {
    ssize_t size = recv(c->fd, space + ROOM, CHUNK, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size <= 0) {
        fprintf(stderr, "load: the server hung up\n");
        exit(1);
    }
    bytes += size;
    answer_pings(c->fd, space + ROOM, size);
    char *from = space + ROOM - c->tail_size, *end = space + ROOM + size, *found;
    memcpy(from, c->tail, c->tail_size);
    long count = 0;
    while ((found = memmem(from, end - from, marker, marker_size))) {
        count++;
        from = found + marker_size;
    }
    c->tail_size = (size_t)(end - from) < marker_size - 1 ? (size_t)(end - from) : marker_size - 1;
    memcpy(c->tail, end - c->tail_size, c->tail_size);
    return count;
}

static int watch_of(struct conn *conns, int count) {
    int watch = epoll_create1(0);
    for (int n = 0; n < count; n++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[n]};
        if (epoll_ctl(watch, EPOLL_CTL_ADD, conns[n].fd, &event) < 0) fail("epoll");
    }
    return watch;
}

/* Read and forget what came before. */
static void drain(int watch, double seconds) {
    struct epoll_event events[256];
    double until = now() + seconds;
    while (now() < until) {
        int count = epoll_wait(watch, events, 256, 5);
        for (int n = 0; n < count; n++) hear(events[n].data.ptr);
    }
    bytes = 0;
}

/* --- the two works ------------------------------------------------------------------------------------------------- */

static void answered(struct conn *c, long markers, double at) {
    heard += markers;
    c->part += markers;
    for (; c->part >= each; c->part -= each) sample(at - c->sent[c->done++ % requests]);
}

static void run_ask(int watch, struct conn *conns, int count, double until, long window, int once) {
    struct epoll_event events[256];
    long open = 0;
    for (int n = 0; n < count; n++) ask(&conns[n], window < requests ? window : requests), open += conns[n].out;
    while (open > 0 && now() < until + 10) {
        int ready = epoll_wait(watch, events, 256, 100);
        for (int n = 0; n < ready; n++) {
            struct conn *c = events[n].data.ptr;
            long before = c->done, markers = hear(c);
            double at = now();
            answered(c, markers, at);
            long more = c->done - before;
            open -= more;
            if (once && more > requests - c->out) more = requests - c->out;
            if (at < until && more > 0) ask(c, more), open += more;
        }
    }
}

static void run_hear(int watch, struct conn *conns, int count, double until, double rate) {
    struct epoll_event events[256];
    struct conn *publisher = &conns[0];
    long expected = requests * each * (count - 1);
    double start = now();
    size_t gone = 0;
    while (heard < expected && now() < until) {
        while (publisher->out < requests && (rate == 0 || now() >= start + publisher->out / rate)) {
            size_t end = publisher->at[publisher->out + 1];
            if (gone == publisher->at[publisher->out]) publisher->sent[publisher->out] = now();
            ssize_t size = send(publisher->fd, publisher->tape + gone, end - gone, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0 && errno != EAGAIN) fail("send");
            if (size > 0) gone += size;
            if (gone < end) break;
            publisher->out++;
        }
        int wait = publisher->out == requests ? 100 : gone > publisher->at[publisher->out] || rate == 0 ? 0 : 1;
        int ready = epoll_wait(watch, events, 256, wait);
        double at = now();
        for (int n = 0; n < ready; n++) {
            struct conn *c = events[n].data.ptr;
            long markers = hear(c);
            if (c == publisher) continue;
            heard += markers;
            for (; markers > 0; markers--, c->part++)
                if (c->part / each < requests) sample(at - publisher->sent[c->part / each]);
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 10) {
        fprintf(stderr, "load: see the head of load.c\n");
        return 2;
    }
    int asks = !strcmp(argv[1], "ask");
    double seconds = atof(argv[2]), pace = atof(argv[6]);
    int count = atoi(argv[3]) + !asks;
    requests = atol(argv[4]);
    each = atol(argv[5]);
    marker = argv[8];
    marker_size = strlen(marker);
    if (marker_size < 1 || marker_size > ROOM || argc != 9 + count) {
        fprintf(stderr, "load: a marker of 1 to %d bytes, and as many sockets as were said\n", ROOM);
        return 2;
    }
    struct conn *conns = room(count * sizeof *conns);
    for (int n = 0; n < count; n++) {
        conns[n].fd = atoi(argv[9 + n]);
        if (asks || n == 0) read_tape(&conns[n]);
    }
    int watch = watch_of(conns, count);
    drain(watch, 0.03);
    heard = 0;
    double start = now(), used = cpu();
    if (asks)
        run_ask(watch, conns, count, start + seconds, (long)pace, atoi(argv[7]));
    else
        run_hear(watch, conns, count, start + seconds, pace);
    double took = now() - start;
    used = cpu() - used;
    qsort(samples, sample_count, sizeof *samples, by_size);
    printf("{\"count\":%ld,\"seconds\":%.9f,\"cpu\":%.6f,\"bytes\":%ld,\"p50\":%.9f,\"p90\":%.9f,\"p99\":%.9f,\"max\":%.9f}\n",
           heard, took, used, bytes, percentile(0.5), percentile(0.9), percentile(0.99), percentile(1));
    return 0;
}
