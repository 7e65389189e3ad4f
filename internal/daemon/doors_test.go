package daemon

import (
	"context"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/fusecam"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// blind is an engine that sees nobody and counts how often it looked.
type blind struct{ looks atomic.Int64 }

func (b *blind) Detect(context.Context, image.Image) ([]engine.Face, error) {
	b.looks.Add(1)
	return nil, nil
}

func (*blind) Embed(context.Context, image.Image, engine.Face) (engine.Template, error) {
	return nil, nil
}
func (*blind) Crop(image.Image, engine.Face) engine.Crop                         { return engine.Crop{} }
func (*blind) EmbedCrop(context.Context, engine.Crop) (engine.Template, error)   { return nil, nil }
func (*blind) Attack(context.Context, image.Image, engine.Face) (float64, error) { return 0, nil }
func (*blind) Space() string                                                     { return "blind" }
func (*blind) Dim() int                                                          { return 8 }

// doorBox is an environment with doors and nothing else.
type doorBox struct {
	*environment
	t   *testing.T
	dir string
}

func newDoorBox(t *testing.T) *doorBox {
	t.Helper()
	return newDoorBoxOver(t, &blind{}, &models.Calibration{})
}

// newDoorBoxOver makes one that sees by an engine.
func newDoorBoxOver(t *testing.T, eng verify.Engine, cal *models.Calibration) *doorBox {
	t.Helper()
	dir := t.TempDir()
	st, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	b := &doorBox{t: t, dir: dir, environment: &environment{
		box: &box{settings: settings{data: dir}}, name: store.Sandbox, log: discard(), metrics: prometheus.NewRegistry(), store: st,
	}}
	if b.authority, err = auth.Open(t.Context(), st, nil); err != nil {
		t.Fatal(err)
	}
	b.merchant, _, err = b.authority.Found(t.Context(), systemCause, "Test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.service, err = verify.New(t.Context(), verify.Config{Store: st, Engine: eng, Calibration: cal,
		Chance: func(int) int { return 0 }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.service.Close)
	if b.api, err = api.New(api.Config{Store: st, Authority: b.authority, Status: func() api.Status { return api.Status{} }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.api.Close)
	if err := b.registerer().Register(cameraMetrics{b.environment}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := b.watchDoors(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	return b
}

// picture writes a picture that a file: camera shows.
func (b *doorBox) picture(name string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	f, err := os.Create(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if err := jpeg.Encode(f, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// door makes a door, or gives one another camera.
func (b *doorBox) door(id store.DoorID, camera string) store.DoorID {
	b.t.Helper()
	if id == "" {
		id = store.NewID[store.DoorID](time.Now())
	}
	err := b.store.Update(b.t.Context(), systemCause, func(tx *store.Tx) error {
		d, err := store.Get[store.Door](tx, id)
		if err != nil {
			site := store.Site{ID: store.NewID[store.SiteID](time.Now()), Merchant: b.merchant}
			if err := store.Put(tx, &site); err != nil {
				return err
			}
			d = store.Door{ID: id, Merchant: b.merchant, Site: site.ID}
		}
		d.Camera = camera
		return store.Put(tx, &d)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// until waits for a door's camera to be as words say; "" for that it is gone.
func (b *doorBox) until(door store.DoorID, words string) api.CameraState {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		all := b.cameraStates()
		i := slices.IndexFunc(all, func(s api.CameraState) bool { return s.Door == door })
		if i < 0 && words == "" {
			return api.CameraState{}
		}
		if i >= 0 && words != "" && strings.HasPrefix(all[i].Camera, words) {
			return all[i]
		}
	}
	b.t.Fatalf("door %s never %q: %+v", door, words, b.cameraStates())
	return api.CameraState{}
}

// named waits for a door's camera to be under a name.
func (b *doorBox) named(door store.DoorID, name string) {
	b.t.Helper()
	is := func(s api.CameraState) bool { return s.Door == door && s.Name == name }
	for deadline := time.Now().Add(time.Minute); !slices.ContainsFunc(b.cameraStates(), is); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("door %s is never called %q: %+v", door, name, b.cameraStates())
		}
	}
}

// rename gives doors a name.
func (b *doorBox) rename(name string, ids ...store.DoorID) {
	b.t.Helper()
	err := b.store.Update(b.t.Context(), systemCause, func(tx *store.Tx) error {
		for _, id := range ids {
			d, err := store.Get[store.Door](tx, id)
			if err != nil {
				return err
			}
			d.Name = name
			if err := store.Put(tx, &d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// recorded are the events of a door's camera.
func (b *doorBox) recorded(door store.DoorID, want string) {
	b.t.Helper()
	var got string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var words []string
		err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
			events, err := store.Events(tx, 0, 10_000)
			for _, e := range events {
				if e.Kind == store.EventSystem && e.Door == door && e.Action == "camera" {
					words = append(words, string(e.Outcome)+" "+strings.Join(e.Reasons, " "))
				}
			}
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if got = strings.Join(words, ", "); got == want {
			return
		}
	}
	b.t.Fatalf("door %s: recorded %q, want %q", door, got, want)
}

// The doors' cameras are what the store has, now and later; what is wrong with one
// is no matter to another.
func TestDoorsFollowTheStore(t *testing.T) {
	b := newDoorBox(t)
	good := b.door("", "file:"+b.picture("good.jpg"))
	broken := b.door("", "file:"+filepath.Join(b.dir, "missing.jpg"))
	wrong := b.door("", "nonsense:1")
	none := b.door("", "")
	b.until(good, "live")
	if s := b.until(broken, "fault"); !s.Alarm || s.Trouble == "" {
		t.Errorf("a camera that is not there: %+v", s)
	}
	if s := b.until(wrong, "unusable"); !s.Alarm || !strings.Contains(s.Trouble, "this program opens") {
		t.Errorf("a camera that cannot be: %+v", s)
	}
	b.recorded(good, "done live")
	b.recorded(broken, "failed fault")
	b.recorded(none, "")
	b.rename("Side", good, wrong)
	b.named(good, "Side")
	b.named(wrong, "Side")

	b.picture("missing.jpg") // it is plugged in
	b.until(broken, "live")
	b.door(wrong, "file:"+b.picture("right.jpg"))
	b.until(wrong, "live")
	b.recorded(wrong, "done live")
	if err := b.store.Update(t.Context(), systemCause, func(tx *store.Tx) error { return store.Delete[store.Door](tx, good) }); err != nil {
		t.Fatal(err)
	}
	b.until(good, "")
	if all := b.cameras(); len(all) != 2 || all[0].Merchant != b.merchant {
		t.Errorf("cameras %+v", all)
	}
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	live := 0
	for _, f := range families {
		if f.GetName() == "cypherface_camera_live" {
			for _, m := range f.GetMetric() {
				live += int(m.GetGauge().GetValue())
			}
		}
	}
	if live != 2 {
		t.Errorf("metrics count %d live cameras, want 2", live)
	}
}

// A camera that is covered at a door is on record, on the page, and in the metrics.
func TestACoveredCameraIsAnAlarm(t *testing.T) {
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Width: 320, Height: 256, Person: 73, FPS: 15})
	b := newDoorBox(t)
	door := b.door("", "v4l2:"+bus.Path("video0")+"?format=yuyv&exposure=16")
	b.until(door, "live")
	b.recorded(door, "done live")
	bus.Fault(0, fusecam.Covered)
	b.recorded(door, "done live, failed covered")
	if s := b.until(door, "live"); !s.Alarm || !strings.Contains(s.Trouble, "before the lens") {
		t.Errorf("state %+v", s)
	}
	bus.Fault(0, fusecam.None)
	b.recorded(door, "done live, failed covered, done live")
	if s := b.until(door, "live"); s.Alarm || s.Trouble != "" {
		t.Errorf("afterwards %+v", s)
	}
}

// A camera is told of by one word, and not while nothing is known of it.
func TestConditionOfACamera(t *testing.T) {
	for _, tt := range []struct {
		state   camera.State
		word    string
		outcome store.Outcome
	}{
		{camera.State{Status: camera.StatusStarting}, "", ""},
		{camera.State{Status: camera.StatusClosed}, "", ""},
		{camera.State{Status: camera.StatusLive}, "live", store.OutcomeDone},
		{camera.State{Status: camera.StatusLive, Health: camera.Health{Picture: camera.PictureGood}}, "live", store.OutcomeDone},
		{camera.State{Status: camera.StatusLive, Health: camera.Health{Picture: camera.PictureCovered}}, "covered", store.OutcomeFailed},
		{camera.State{Status: camera.StatusFault, Health: camera.Health{Picture: camera.PictureCovered}}, "fault", store.OutcomeFailed},
	} {
		if word, outcome := condition(tt.state); word != tt.word || outcome != tt.outcome {
			t.Errorf("%+v: %q %q", tt.state, word, outcome)
		}
	}
}

// An environment that is made while the box runs has its camera for its own
// merchant.
func TestTheCameraOfAnEnvironmentMadeLater(t *testing.T) {
	needNetworks(t)
	pictures := t.TempDir()
	raw, err := os.ReadFile(mate)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, "a.png"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, shortDir(t), "--camera", "none:", "--production-camera", "dir:"+pictures+"?fps=5").production()
	req, err := http.NewRequest("GET", p.url+"/camera/snapshot", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.boot.APIKey)
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := jpeg.Decode(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Errorf("snapshot: status %d, %v", resp.StatusCode, err)
	}
}
