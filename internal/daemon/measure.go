package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
)

// thermalZones are the thermometers of the machine, in thousandths of a degree.
const thermalZones = "/sys/class/thermal/thermal_zone*/temp"

// measure is what a box tells its central of itself, once a minute: nothing of a
// person, and nothing that anything is decided by.
func (e *environment) measure() (all []uplink.Measured) {
	put := func(name string, value float64) { all = append(all, uplink.Measured{Name: name, Value: value}) }
	for _, y := range e.allEyes() {
		s := y.camera.State()
		put(ofDoor("frame_rate", y.door), s.Health.Rate)
		alarm := 0.0
		if _, on := s.Trouble(); on {
			alarm = 1
		}
		put(ofDoor("camera_alarm", y.door), alarm)
	}
	if t, ok := temperature(thermalZones); ok {
		put("temperature", t)
	}
	l := e.link.Status().Link
	put("events_waiting", float64(max(l.Head, l.Acked)-l.Acked))
	return all
}

func ofDoor(name string, d store.DoorID) string {
	if d == "" {
		return name
	}
	return name + "/" + string(d)
}

// temperature is that of the warmest thermometer in °C; false where there is none.
func temperature(zones string) (warmest float64, ok bool) {
	files, _ := filepath.Glob(zones) // the pattern is good
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // some cannot be read while what they measure is off
		}
		t, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
		if err == nil && (!ok || t/1000 > warmest) {
			warmest, ok = t/1000, true
		}
	}
	return warmest, ok
}
