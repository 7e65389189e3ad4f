package bolt

import (
	"slices"
	"sync"

	"github.com/cypherface/edge/store"
)

// watchers are those who want to hear of commits, in the order they came.
type watchers struct {
	mu   sync.Mutex // protects the fields below; not held during calls
	next int
	all  []watcher
}

type watcher struct {
	id int
	fn func(store.Commit)
}

func (w *watchers) add(fn func(store.Commit)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.all = append(slices.Clip(w.all), watcher{id, fn})
	return func() { w.remove(id) }
}

func (w *watchers) remove(id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(slices.Clone(w.all), func(x watcher) bool { return x.id == id })
}

func (w *watchers) call(c store.Commit) {
	w.mu.Lock()
	all := w.all
	w.mu.Unlock()
	for _, x := range all {
		x.fn(c)
	}
}
