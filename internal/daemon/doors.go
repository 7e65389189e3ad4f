package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// doors are the cameras of an environment's doors, each with a loop of its own.
type doors struct {
	mu  sync.Mutex // protects all
	all map[store.DoorID]*lookout
}

// lookout is a door's camera under way.
type lookout struct {
	door   store.Door // as it was read last
	eyes   *eyes      // nil: its URL cannot work, which fault says
	fault  string
	cancel context.CancelFunc
	ended  chan struct{}
}

// staleAsk is when nobody is asked any more what a frame asked for.
const staleAsk = 3 * time.Second

// doorsRetry is how soon a door whose loop ended is tried again.
const doorsRetry = 30 * time.Second

// watchDoors looks through the camera of each door in the store until ctx ends,
// and follows the store: a door that is made, gets another camera or is deleted
// is so at once. What goes wrong with one door stays with it.
func (e *environment) watchDoors(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	unwatch := e.store.Watch(func(c store.Commit) {
		if slices.ContainsFunc(c.Changes, func(ch store.Changed) bool { return ch.Kind == store.KindDoor }) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	defer unwatch()
	defer e.stopDoors(func(*lookout) bool { return true })
	tick := time.NewTicker(doorsRetry)
	defer tick.Stop()
	for {
		if err := e.matchDoors(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("doors not read", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// matchDoors brings the loops to what the store has.
func (e *environment) matchDoors(ctx context.Context) error {
	want := map[store.DoorID]store.Door{}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(m.ID)) {
				if err != nil {
					return err
				}
				here := d.Device == "" || d.Device == tx.Info().Device
				if here && d.Camera != "" && d.Camera != "none:" {
					want[d.ID] = d
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.stopDoors(func(l *lookout) bool { return want[l.door.ID].Camera != l.door.Camera || l.over() })
	for id, d := range want {
		e.doors.mu.Lock()
		l, there := e.doors.all[id]
		if there {
			l.door = d // it may have another name
		}
		e.doors.mu.Unlock()
		if !there {
			e.startDoor(ctx, d)
		}
	}
	return nil
}

// over reports whether a loop ended by itself.
func (l *lookout) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// stopDoors ends the loops that which says, and waits for them.
func (e *environment) stopDoors(which func(*lookout) bool) {
	var stopped []*lookout
	e.doors.mu.Lock()
	for id, l := range e.doors.all {
		if which(l) {
			l.cancel()
			stopped = append(stopped, l)
			delete(e.doors.all, id)
		}
	}
	e.doors.mu.Unlock()
	for _, l := range stopped {
		<-l.ended
	}
}

// startDoor begins the loop of a door. Its camera is opened in it: one that takes
// its time holds up nobody.
func (e *environment) startDoor(ctx context.Context, d store.Door) {
	ctx, cancel := context.WithCancel(ctx)
	l := &lookout{door: d, cancel: cancel, ended: make(chan struct{})}
	e.doors.mu.Lock()
	if e.doors.all == nil {
		e.doors.all = map[store.DoorID]*lookout{}
	}
	e.doors.all[d.ID] = l
	e.doors.mu.Unlock()
	go func() {
		defer close(l.ended)
		defer cancel()
		y, err := e.openEyes(ctx, d.ID, d.Merchant, d.Camera)
		e.doors.mu.Lock()
		if l.eyes = y; err != nil {
			l.fault = err.Error()
		}
		e.doors.mu.Unlock()
		if err == nil {
			err = errors.Join(e.look(ctx, y), y.camera.Close())
		}
		if ctx.Err() == nil && !errors.Is(err, store.ErrNotFound) {
			e.log.Error("a door is not watched", "door", string(d.ID), "err", err)
		}
	}()
}

// allEyes are the cameras that are there, that of the settings first, the doors'
// in the order of their ids.
func (e *environment) allEyes() (all []*eyes) {
	if e.eyes != nil {
		all = append(all, e.eyes)
	}
	e.doors.mu.Lock()
	defer e.doors.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(e.doors.all)) {
		if y := e.doors.all[id].eyes; y != nil {
			all = append(all, y)
		}
	}
	return all
}

// cameras are the cameras as the API wants them.
func (e *environment) cameras() (all []api.Camera) {
	for _, y := range e.allEyes() {
		all = append(all, api.Camera{
			Door: y.door, Merchant: y.merchant, State: y.camera.State, Open: y.shared.Reader,
			Seen: func() verify.View {
				if v := y.view.Load(); v != nil {
					return *v
				}
				return verify.View{}
			},
		})
	}
	return all
}

// cameraStates are the cameras in words, those of doors whose URL cannot work
// among them.
func (e *environment) cameraStates() (all []api.CameraState) {
	for _, y := range e.allEyes() {
		words, trouble, alarm := y.state()
		s := y.camera.State()
		state := api.CameraState{Door: y.door, Camera: words, Trouble: trouble, Alarm: alarm, Notes: s.Notes, Health: s.Health}
		if v := y.view.Load(); v != nil {
			state.Liveness = v.Liveness
			if len(v.Faces) > 0 && time.Since(v.Time) < staleAsk {
				state.Ask = v.Faces[0].Ask
			}
		}
		all = append(all, state)
	}
	e.doors.mu.Lock()
	defer e.doors.mu.Unlock()
	for i := range all {
		if l := e.doors.all[all[i].Door]; l != nil {
			all[i].Name = l.door.Name
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.doors.all)) {
		if l := e.doors.all[id]; l.fault != "" {
			all = append(all, api.CameraState{Door: id, Name: l.door.Name, Camera: "unusable", Trouble: l.fault, Alarm: true})
		}
	}
	return all
}

// cameraMetrics collects what the cameras count; the label door is empty for the
// one of the settings.
type cameraMetrics struct{ e *environment }

// Describe says nothing: doors come and go.
func (cameraMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m cameraMetrics) Collect(out chan<- prometheus.Metric) {
	for _, y := range m.e.allEyes() {
		s := y.camera.State()
		_, alarm := s.Trouble()
		put := func(kind prometheus.ValueType, name, help string, value float64) {
			desc := prometheus.NewDesc("cypherface_camera_"+name, help, []string{"door"}, nil)
			out <- prometheus.MustNewConstMetric(desc, kind, value, string(y.door))
		}
		count := func(b bool) float64 {
			if b {
				return 1
			}
			return 0
		}
		put(prometheus.CounterValue, "frames_total", "Frames that the camera gave.", float64(s.Frames))
		put(prometheus.CounterValue, "frames_dropped_total", "Frames that came while nobody had time for them, or were damaged.", float64(s.Dropped))
		put(prometheus.CounterValue, "faults_total", "Times that the camera was lost or could not be opened.", float64(s.Faults))
		put(prometheus.GaugeValue, "live", "1 while the camera delivers.", count(s.Status == "live"))
		put(prometheus.GaugeValue, "alarm", "1 while the camera is gone, covered or frozen.", count(alarm))
		put(prometheus.GaugeValue, "frame_rate", "Frames a second that were used.", s.Health.Rate)
		if s.Health.Picture == "" { // not known yet, or not looked at
			continue
		}
		put(prometheus.GaugeValue, "night", "1 while the picture is too dark to see by.", count(s.Health.Night))
		put(prometheus.GaugeValue, "brightness", "Mean luma of the picture, 0 to 1.", s.Health.Brightness)
		put(prometheus.GaugeValue, "sharpness", "Detail of the picture, 1 for what the camera usually has.", s.Health.Sharpness)
		put(prometheus.GaugeValue, "structure", "How much there is to see, in levels of 255.", s.Health.Structure)
	}
}
