package v4l2

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
)

// Controls (linux/v4l2-controls.h), and values of those that are menus.
const (
	ctrlAutoGain     webcam.ControlID = 0x00980912
	ctrlGain         webcam.ControlID = 0x00980913
	ctrlPowerLine    webcam.ControlID = 0x00980918
	ctrlExposureAuto webcam.ControlID = 0x009a0901
	ctrlExposure     webcam.ControlID = 0x009a0902 // 100 µs
	ctrlFocus        webcam.ControlID = 0x009a090a
	ctrlFocusAuto    webcam.ControlID = 0x009a090c

	exposureManual = 1
)

// exposureAutos are the automatics in the order to try: most webcams have
// "aperture priority", which moves time and gain.
var exposureAutos = []int32{3, 0, 2}

// controlParameters are those of a v4l2 URL that set controls.
var controlParameters = []string{"exposure", "gain", "focus", "powerline"}

// wishes are what a URL asks of the controls.
type wishes struct {
	steer     bool    // exposure=face, the default: by the face, see Steering
	exposure  float64 // exposure=N, milliseconds; 0: automatic
	gain      int     // gain=N, percent of the range; -1: as it is
	focus     int     // focus=N, percent of the range; -1: automatic
	powerLine int32   // powerline=50, 60, off, auto; -1: as it is
	asked     []string
}

// parseWishes reads the parameters, or returns an error with a hint.
func parseWishes(given map[string]string) (wishes, error) {
	w := wishes{steer: true, gain: -1, focus: -1, powerLine: -1}
	for name, value := range given {
		w.asked = append(w.asked, name)
		bad := func(hint string) (wishes, error) {
			return w, fmt.Errorf("%w: parameter %s=%q (%s)", camera.ErrURL, name, value, hint)
		}
		n, err := strconv.Atoi(value)
		percent := err == nil && n >= 0 && n <= 100
		switch name {
		case "exposure":
			ms, err := strconv.ParseFloat(value, 64)
			w.steer = value == "face"
			if w.exposure = ms; !w.steer && value != "auto" && !(err == nil && ms >= 0.1 && ms <= 1000) {
				return bad("write exposure=face, exposure=auto, or milliseconds from 0.1 to 1000, such as exposure=8")
			}
		case "gain":
			if w.gain = n; !percent {
				return bad("write gain=N in percent of what the camera has")
			}
		case "focus":
			if w.focus = n; value == "auto" {
				w.focus = -1
			} else if !percent {
				return bad("write focus=auto, or focus=N in percent of what the camera has")
			}
		case "powerline":
			if w.powerLine = int32(slices.Index([]string{"off", "50", "60", "auto"}, value)); w.powerLine < 0 {
				return bad("write powerline=50 or powerline=60, the mains' frequency where the camera is; or off, auto")
			}
		}
	}
	return w, nil
}

// adjustable is the part of webcam.Webcam that controls are set with.
type adjustable interface {
	GetControls() map[webcam.ControlID]webcam.Control
	GetControl(webcam.ControlID) (int32, error)
	SetControl(webcam.ControlID, int32) error
}

// knobs are the controls of an open device. Its grabbing goroutine alone turns
// them; Follow and Notes may be called from others.
type knobs struct {
	dev      adjustable
	has      map[webcam.ControlID]webcam.Control
	auto     int32 // the value of ctrlExposureAuto that means automatic
	gain     int32 // before anybody touched it
	steering *Steering

	mu      sync.Mutex // protects the fields below
	subject *camera.Subject
	notes   []string
}

// newKnobs sets what is wished. What the device lacks is noted.
func newKnobs(dev adjustable, w wishes) *knobs {
	k := &knobs{dev: dev, has: dev.GetControls(), auto: -1}
	if _, ok := k.has[ctrlGain]; ok {
		k.gain, _ = dev.GetControl(ctrlGain) // 0 where it cannot be read
	}
	k.expose(w)
	if w.gain >= 0 {
		k.set("gain", ctrlGain, k.share(ctrlGain, w.gain))
	}
	switch _, has := k.has[ctrlFocusAuto]; {
	case w.focus >= 0:
		if has {
			k.set("focus", ctrlFocusAuto, 0)
		}
		k.set("focus", ctrlFocus, k.share(ctrlFocus, w.focus))
	case has || slices.Contains(w.asked, "focus"):
		k.set("focus", ctrlFocusAuto, 1)
	}
	if w.powerLine >= 0 {
		k.set("powerline", ctrlPowerLine, w.powerLine)
	}
	return k
}

// expose sets the exposure. A camera keeps what an earlier program has set, so
// its automatic is always turned on anew.
func (k *knobs) expose(w wishes) {
	_, switchable := k.has[ctrlExposureAuto]
	if switchable {
		for _, v := range exposureAutos {
			if k.dev.SetControl(ctrlExposureAuto, v) == nil {
				k.auto = v
				break
			}
		}
	}
	switch {
	case w.exposure > 0:
		if switchable {
			k.set("exposure", ctrlExposureAuto, exposureManual)
		}
		r := k.rangeOf(ctrlExposure)
		k.set("exposure", ctrlExposure, r.clamp(10*w.exposure))
		if !r.empty() && (10*w.exposure < float64(r.Least) || 10*w.exposure > float64(r.Most)) {
			k.note("exposure: the camera takes %.1f to %.1f ms", float64(r.Least)/10, float64(r.Most)/10)
		}
	case !w.steer || w.gain >= 0:
	case k.rangeOf(ctrlExposure).empty() && k.rangeOf(ctrlGain).empty() || switchable && k.auto < 0:
		if slices.Contains(w.asked, "exposure") {
			k.note("exposure=face: the camera lets nobody set exposure or gain")
		}
	default:
		k.steering = &Steering{Time: k.rangeOf(ctrlExposure), Gain: k.rangeOf(ctrlGain), At: Setting{Auto: true, Gain: k.gain}}
	}
}

func (k *knobs) rangeOf(id webcam.ControlID) Range {
	c := k.has[id]
	return Range{c.Min, c.Max, c.Step}
}

// share is the value at so many percent of a control's range.
func (k *knobs) share(id webcam.ControlID, percent int) int32 {
	r := k.rangeOf(id)
	return r.clamp(float64(r.Least) + float64(r.Most-r.Least)*float64(percent)/100)
}

// set turns one knob for a parameter of the URL, or notes that it cannot.
func (k *knobs) set(parameter string, id webcam.ControlID, value int32) {
	if _, ok := k.has[id]; !ok {
		k.note("%s: the camera has no such control", parameter)
	} else if err := k.dev.SetControl(id, value); err != nil {
		k.note("%s: the camera refuses %d: %v", parameter, value, err)
	}
}

func (k *knobs) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := fmt.Sprintf(format, args...); !slices.Contains(k.notes, n) {
		k.notes = append(k.notes, n)
	}
}

// Notes are what the device cannot do.
func (k *knobs) Notes() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.notes)
}

// Follow keeps a face for the goroutine that turns the knobs.
func (k *knobs) Follow(s camera.Subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.subject = &s
}

// turn steers by the newest face, if there was one since the last call.
func (k *knobs) turn(now time.Time) {
	k.mu.Lock()
	subject := k.subject
	k.subject = nil
	k.mu.Unlock()
	s := k.steering
	if s == nil || subject == nil {
		return
	}
	if s.At.Auto { // many cameras tell what their automatic has found
		s.At.Time, _ = k.dev.GetControl(ctrlExposure) // 0 is brought into the range
		s.At.Gain, _ = k.dev.GetControl(ctrlGain)
	}
	luma := subject.Luma
	if subject.Box.Empty() {
		luma = 0
	}
	if to, change := s.Step(now, luma); change {
		k.adjust(to)
	}
}

// adjust makes a setting true. A camera that refuses is left to its automatic
// from then on.
func (k *knobs) adjust(to Setting) {
	mode, autoGain := int32(exposureManual), int32(0)
	if to.Auto {
		mode, autoGain, to.Gain = k.auto, 1, k.gain
	}
	var refused []string
	try := func(id webcam.ControlID, value int32) {
		if _, ok := k.has[id]; !ok {
			return
		}
		if err := k.dev.SetControl(id, value); err != nil {
			refused = append(refused, fmt.Sprintf("%s %d: %v", k.has[id].Name, value, err))
		}
	}
	try(ctrlExposureAuto, mode)
	try(ctrlAutoGain, autoGain)
	if !to.Auto {
		try(ctrlExposure, to.Time)
	}
	try(ctrlGain, to.Gain)
	if len(refused) > 0 && !to.Auto {
		k.steering = nil
		k.note("exposure=face: the camera refuses %s", strings.Join(refused, ", "))
		k.adjust(Setting{Auto: true})
	}
}

// rest gives the camera back to its automatic, which it would otherwise be
// without in the next program.
func (k *knobs) rest() {
	if k.steering != nil && !k.steering.At.Auto {
		k.adjust(Setting{Auto: true})
	}
}
