/* fake_thread.c - see fake_thread.h. */
#include "tests/sim/fake_thread.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "shared/base/err.h"
#include "shared/base/list.h"
#include "shared/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include "shared/base/banned.h"

#define STACK_BYTES ((size_t)1024 * 1024) /* touched pages only are paid for */

/* One side of a switch: a stack, and what the sanitizers keep about it. */
struct side {
    ucontext_t context;
    void *fake_stack; /* ASan's */
    const void *stack;
    size_t stack_bytes;
    void *tsan;
};

struct fake_thread {
    struct list link; /* of the idle ones */
    struct side self;
    struct side *back; /* who resumed it */
    void (*fn)(void *arg);
    void *arg;
    bool has_ended;
};

static struct list idle = { &idle, &idle };
static struct fake_thread *running; /* NULL: the real thread's own stack */

/* ---- switching ---- */

static void leave(struct side *from, const struct side *to)
{
    (void)from;
    (void)to;
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#ifdef HAS_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* 'from' is where we came from: its stack is learned here, the real thread's included. */
static void arrive(struct side *self, struct side *from)
{
    (void)self;
    (void)from;
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, &from->stack, &from->stack_bytes);
#endif
}

/* ---- a thread ---- */

/* Back to who resumed it; who resumes it next may be another one. */
static void go_back(struct fake_thread *t)
{
    leave(&t->self, t->back);
    xp_check(swapcontext(&t->self.context, &t->back->context) == 0);
    arrive(&t->self, t->back);
}

static void thread_main(void)
{
    struct fake_thread *t = running;
    arrive(&t->self, t->back);
    for (;;) {
        t->fn(t->arg);
        t->has_ended = true;
        go_back(t);
    }
}

static struct fake_thread *thread_new(void)
{
    struct fake_thread *t = xcalloc(1, sizeof(*t));
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, STACK_BYTES + guard, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    xp_check(base != MAP_FAILED && mprotect(base, guard, PROT_NONE) == 0);
    t->self.stack = base + guard;
    t->self.stack_bytes = STACK_BYTES;
    xp_check(getcontext(&t->self.context) == 0);
    t->self.context.uc_stack.ss_sp = base + guard;
    t->self.context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&t->self.context, thread_main, 0);
#ifdef HAS_TSAN
    t->self.tsan = __tsan_create_fiber(0);
#endif
    return t;
}

bool fake_thread_resume(struct fake_thread *t)
{
    struct side here = { 0 };
    struct fake_thread *before = running;
#ifdef HAS_TSAN
    here.tsan = __tsan_get_current_fiber();
#endif
    t->back = &here; /* cppcheck-suppress autoVariables ; not used any more when this returns */
    running = t;
    leave(&here, &t->self);
    xp_check(swapcontext(&here.context, &t->self.context) == 0);
    arrive(&here, &t->self);
    running = before;
    if (t->has_ended) {
        list_push_back(&idle, &t->link);
    }
    return t->has_ended;
}

struct fake_thread *fake_thread_start(void (*fn)(void *arg), void *arg)
{
    struct list *link = list_pop_front(&idle);
    struct fake_thread *t = link ? LIST_ENTRY(link, struct fake_thread, link) : thread_new();
    t->fn = fn;
    t->arg = arg;
    t->has_ended = false;
    return fake_thread_resume(t) ? NULL : t;
}

void fake_thread_pause(void)
{
    struct fake_thread *t = running;
    xp_check(t != NULL);
    go_back(t);
}
