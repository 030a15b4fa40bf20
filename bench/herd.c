/* herd - many SMTP clients from one process: kept waiting after RCPT, delivering at once, or coming and
 * going. A session takes 12 bytes here, so that the sink is what fills the memory.
 *
 * Usage: herd PORT SOURCES WIDTH RATE
 *
 * Connects to 127.0.0.1:PORT from SOURCES different addresses of 127/8, each in a /24 of its own as far
 * as these go, with at most WIDTH sessions on their way to RCPT at a time, and RATE connections
 * a second (0: as fast as it goes). Commands on standard input,
 * each answered with one line of JSON, the state of things at that moment:
 *
 *   keep N         let N sessions be open; what the server ends is opened anew while `again` is 1
 *   again 0|1      begin with 0
 *   deliver N B    let N of the waiting sessions send a message of B bytes, then QUIT
 *   pass N         let N clients connect, hear the banner and go, every other without QUIT
 *   state          only answer
 *
 * At the end of standard input everything ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { FREE, BANNER, HELO, MAIL, RCPT, WAITING, DATA, BODY, QUIT, PASSING, LEAVING };

struct session {
    int fd;
    unsigned sent;          /* of the message */
    unsigned char state, digit; /* digit: the first of a reply that is not whole yet */
};

static struct session *sessions;
static unsigned *unused, unused_count, slots;
static unsigned port, sources, width, next_source;
static unsigned wanted, open_now, waiting, under_way, passing;
static unsigned long to_pass, to_deliver, passed, delivered, undelivered, refused, ended, failed;
static int again, watch;
static double rate, tokens, last;
static char *message;
static unsigned message_size, cursor;

static void leave(unsigned at) {
    struct session *s = &sessions[at];
    close(s->fd);
    if (s->state >= PASSING) {
        passing--;
    } else {
        open_now--;
        if (s->state < WAITING)
            under_way--;
        waiting -= s->state == WAITING;
        undelivered += s->state == DATA || s->state == BODY;
        if (!again && wanted)
            wanted--;
    }
    s->state = FREE;
    unused[unused_count++] = at;
}

static int enter(unsigned char state) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    unsigned n = next_source++ % sources;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    from.sin_addr.s_addr = htonl(127u << 24 | (2 + n % 125) << 16 | (n / 125 % 250) << 8 | (1 + n / 31250 % 250));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)
        || (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    unsigned at = unused[--unused_count];
    sessions[at] = (struct session){.fd = fd, .state = state};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = at};
    epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event);
    return 0;
}

static int allowed(void) {
    if (rate <= 0)
        return 1;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    double now = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
    tokens += last > 0 ? (now - last) * rate : 0;
    tokens = tokens > width ? width : tokens;
    last = now;
    if (tokens < 1)
        return 0;
    tokens -= 1;
    return 1;
}

/* Opens what is wanted and not yet there, a width at a time. */
static void top_up(void) {
    while (unused_count && under_way < width && open_now < wanted && allowed()) {
        if (enter(BANNER)) {
            failed++;
            return;
        }
        under_way++;
        open_now++;
    }
    while (unused_count && passing < width && to_pass && allowed()) {
        if (enter(PASSING)) {
            failed++;
            return;
        }
        to_pass--;
        passing++;
    }
}

static void say(unsigned at, const char *line, unsigned char state) {
    struct session *s = &sessions[at];
    if (s->state < WAITING && state >= WAITING)
        under_way--;
    s->state = state;
    if (line && send(s->fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        leave(at);
}

static void send_message(unsigned at) {
    struct session *s = &sessions[at];
    ssize_t n = send(s->fd, message + s->sent, message_size - s->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        leave(at);
        return;
    }
    s->sent += n > 0 ? (unsigned)n : 0;
    struct epoll_event event = {.events = s->sent < message_size ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = at};
    epoll_ctl(watch, EPOLL_CTL_MOD, s->fd, &event);
}

static void answered(unsigned at, char digit) {
    struct session *s = &sessions[at];
    if (s->state == PASSING) {
        passed++;
        if (digit == '2' && passed % 2 && send(s->fd, "QUIT\r\n", 6, MSG_NOSIGNAL) == 6)
            s->state = LEAVING; /* hears 221, then the end */
        else
            leave(at);
        return;
    }
    if (digit > '3' && s->state != LEAVING) {
        refused += s->state == BANNER;
        ended += s->state == WAITING;
        leave(at);
        return;
    }
    switch (s->state) {
    case BANNER: say(at, "HELO wave.example\r\n", HELO); break;
    case HELO: say(at, "MAIL FROM:<a@wave.example>\r\n", MAIL); break;
    case MAIL: say(at, "RCPT TO:<b@trap.example>\r\n", RCPT); break;
    case RCPT:
        waiting++;
        say(at, NULL, WAITING);
        break;
    case DATA:
        s->state = BODY;
        s->sent = 0;
        send_message(at);
        break;
    case BODY:
        delivered++;
        say(at, "QUIT\r\n", QUIT);
        break;
    default: break;
    }
}

static void heard(unsigned at) {
    struct session *s = &sessions[at];
    char reply[1024];
    ssize_t n = recv(s->fd, reply, sizeof reply, 0);
    if (n <= 0) {
        ended += s->state == WAITING;
        failed += s->state == BANNER || s->state == PASSING;
        leave(at);
        return;
    }
    char digit = s->digit ? (char)s->digit : reply[0];
    s->digit = reply[n - 1] == '\n' ? 0 : (unsigned char)digit;
    if (!s->digit)
        answered(at, digit);
}

static void deliver(void) {
    for (unsigned looked = 0; to_deliver && waiting && looked < slots; looked++) {
        cursor = (cursor + 1) % slots;
        if (sessions[cursor].state == WAITING) {
            to_deliver--;
            waiting--;
            say(cursor, "DATA\r\n", DATA);
        }
    }
    to_deliver = 0;
}

static void obey(char *line) {
    unsigned long n = 0, bytes = 0;
    if (sscanf(line, "keep %lu", &n) == 1)
        wanted = n < slots ? (unsigned)n : slots;
    else if (sscanf(line, "again %lu", &n) == 1)
        again = n != 0;
    else if (sscanf(line, "pass %lu", &n) == 1)
        to_pass += n;
    else if (sscanf(line, "deliver %lu %lu", &n, &bytes) == 2) {
        static const char head[] = "Subject: wave\r\n\r\n", tail[] = "\r\n.\r\n";
        if (message_size != bytes + sizeof tail - 1 && bytes >= sizeof head) {
            message_size = (unsigned)(bytes + sizeof tail - 1);
            message = realloc(message, message_size);
            for (unsigned i = 0; i < bytes; i++)
                message[i] = i % 76 == 74 ? '\r' : i % 76 == 75 ? '\n' : 'x';
            memcpy(message, head, sizeof head - 1);
            memcpy(message + bytes, tail, sizeof tail - 1);
        }
        to_deliver = n;
        deliver();
    }
    printf("{\"open\": %u, \"waiting\": %u, \"under_way\": %u, \"delivered\": %lu, \"undelivered\": %lu, \"refused\": %lu, "
           "\"ended\": %lu, \"failed\": %lu, \"passed\": %lu, \"passing\": %lu}\n",
           open_now, waiting, under_way, delivered, undelivered, refused, ended, failed, passed, passing + to_pass);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc != 5)
        return 64;
    port = (unsigned)atoi(argv[1]);
    sources = (unsigned)atoi(argv[2]);
    width = (unsigned)atoi(argv[3]);
    rate = atof(argv[4]);
    slots = (unsigned)files.rlim_max - 20;
    sessions = calloc(slots, sizeof *sessions);
    unused = malloc(slots * sizeof *unused);
    if (!sessions || !unused || !sources)
        return 71;
    while (unused_count < slots)
        unused[unused_count] = slots - 1 - unused_count, unused_count++;
    watch = epoll_create1(0);
    struct epoll_event events[512], orders = {.events = EPOLLIN, .data.u32 = slots};
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(watch, EPOLL_CTL_ADD, 0, &orders);
    char line[256];
    size_t used = 0;
    for (;;) {
        top_up();
        int more = open_now < wanted || to_pass; /* held up by the rate, or by a failure */
        int count = epoll_wait(watch, events, 512, more ? 5 : -1);
        for (int i = 0; i < count; i++) {
            unsigned at = events[i].data.u32;
            if (at == slots) {
                ssize_t n = read(0, line + used, sizeof line - 1 - used);
                if (n == 0)
                    return 0;
                used += n > 0 ? (size_t)n : 0;
                line[used] = 0;
                char *end;
                while ((end = memchr(line, '\n', used))) {
                    *end = 0;
                    obey(line);
                    used -= (size_t)(end + 1 - line);
                    memmove(line, end + 1, used + 1);
                }
                continue;
            }
            if (sessions[at].state == FREE)
                continue;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                heard(at);
            else
                send_message(at);
        }
    }
}
