package simtest

import (
	"container/heap"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"
)

// world is the clock, the dice and the queue of everything that is going to happen.
// One goroutine takes from it; nothing else decides what comes next.
type world struct {
	rand  *rand.Rand
	now   time.Duration
	queue queue
	count uint64 // of events so far

	trace hash.Hash64 // over all that happened
	log   io.Writer   // nil: nobody reads along
	bad   []string    // violations
}

// event is something that is going to happen.
type event struct {
	at time.Duration
	n  uint64 // the first asked for comes first
	fn func()
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

func newWorld(seed uint64, log io.Writer) *world {
	return &world{rand: rand.New(rand.NewPCG(seed, 0x5eed)), trace: fnv.New64a(), log: log}
}

// after has fn happen in a while.
func (w *world) after(d time.Duration, fn func()) {
	w.count++
	heap.Push(&w.queue, event{w.now + max(0, d), w.count, fn})
}

// run lets things happen until a moment, or until something is violated.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until && len(w.bad) == 0 {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.fn()
	}
	w.now = max(w.now, until)
}

// note is a line of the trace.
func (w *world) note(who, format string, args ...any) {
	line := fmt.Sprintf("%12.6f %-9s ", w.now.Seconds(), who) + fmt.Sprintf(format, args...) + "\n"
	io.WriteString(w.trace, line)
	if w.log != nil {
		io.WriteString(w.log, line)
	}
}

// violate says that something happened which must not.
func (w *world) violate(who, format string, args ...any) {
	w.note(who, "VIOLATED: "+format, args...)
	w.bad = append(w.bad, who+": "+fmt.Sprintf(format, args...))
}

// chance is true with a probability.
func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

// within is a moment of a span, each as likely.
func (w *world) within(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Float64()*float64(to-from))
}

// pick returns one of some.
func pick[T any](w *world, of []T) T { return of[w.rand.IntN(len(of))] }
