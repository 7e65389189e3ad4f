package camera

import (
	"fmt"
	"image"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/synthface"
)

// film is a series of frames for a meter, ten a second; each is some picture
// with the noise of its own moment.
type film struct {
	t     *testing.T
	meter meter
	now   time.Time
	takes map[string][]*image.YCbCr
	told  []Picture
}

func newFilm(t *testing.T) *film {
	return &film{t: t, now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC), takes: map[string][]*image.YCbCr{}}
}

// scenes are drawn once for all tests.
var scenes = map[string]*synthface.Negative{}

func negative(name string, s synthface.Scene, who ...synthface.Subject) *synthface.Negative {
	if scenes[name] == nil {
		s.Width, s.Height = 320, 240
		scenes[name] = synthface.Capture(s, who...)
	}
	return scenes[name]
}

var ada = synthface.Cast()[0]

func room() *synthface.Negative { return negative("room", synthface.Scene{}) }

// play shows a picture for a while. shot makes take i of it.
func (f *film) play(name string, d time.Duration, shot func(i int64) *image.YCbCr) {
	f.t.Helper()
	for len(f.takes[name]) < 5 {
		f.takes[name] = append(f.takes[name], shot(int64(len(f.takes[name]))))
	}
	for end, i := f.now.Add(d), 0; f.now.Before(end); i++ {
		f.now = f.now.Add(250 * time.Millisecond)
		if f.meter.see(f.now, f.takes[name][i%5]) {
			f.told = append(f.told, f.meter.health.Picture)
		}
	}
}

// usual shows the room in daylight for long enough to know it.
func (f *film) usual() {
	f.play("usual", 30*time.Second, func(i int64) *image.YCbCr { return room().Expose(1, 1, i) })
}

func (f *film) want(pictures ...Picture) {
	f.t.Helper()
	if len(pictures) != len(f.told) {
		f.t.Fatalf("told %q, want %q; %+v", f.told, pictures, f.meter.health)
	}
	for i, p := range pictures {
		if f.told[i] != p {
			f.t.Fatalf("told %q, want %q; %+v", f.told, pictures, f.meter.health)
		}
	}
}

func flat(light, gain float64) func(int64) *image.YCbCr {
	return func(i int64) *image.YCbCr { return synthface.Flat(image.Rect(0, 0, 320, 240), light, gain, i) }
}

// smooth is light through a hand: a gradient without anything in it.
func smooth(i int64) *image.YCbCr {
	img := synthface.Flat(image.Rect(0, 0, 320, 240), .15, 4, i)
	for y := range 240 {
		for x := range 320 {
			img.Y[img.YOffset(x, y)] += byte(x/8 + y/12)
		}
	}
	return img
}

// What is before the lens is an alarm, whatever light comes through it and with
// whatever noise; and its end is told.
func TestCoveredIsAnAlarm(t *testing.T) {
	for name, lid := range map[string]func(int64) *image.YCbCr{
		"tape":           flat(0, 16),
		"tape, no noise": flat(0, 1),
		"paper":          flat(.5, 1),
		"cloth, grainy":  flat(.05, 16),
		"hand":           smooth,
		"torch":          flat(4, 1),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFilm(t)
			f.usual()
			f.play(name, 10*time.Second, lid)
			f.want(PictureGood, PictureCovered)
			f.usual()
			f.want(PictureGood, PictureCovered, PictureGood)
		})
	}
}

func TestCoveredFromTheBeginning(t *testing.T) {
	f := newFilm(t)
	f.play("paper", 10*time.Second, flat(.4, 2))
	f.want(PictureCovered)
}

// What looks like a lid and is none.
func TestNotCovered(t *testing.T) {
	f := newFilm(t)
	f.usual()
	close := negative("close", synthface.Scene{}, synthface.Subject{Person: ada, Pose: synthface.Pose{Distance: 28}})
	f.play("face before the lens", time.Minute, func(i int64) *image.YCbCr { return close.Expose(1, 1, i) })
	f.play("dim", time.Minute, func(i int64) *image.YCbCr { return room().Expose(.08, 16, i) })
	f.play("grainy", time.Minute, func(i int64) *image.YCbCr { return room().Expose(.02, 16, i) })
	for _, light := range []float64{3, 6, 1} { // a lamp, the sun, as before
		f.play(fmt.Sprint("light", light), 20*time.Second, func(i int64) *image.YCbCr { return room().Expose(light, 1, i) })
	}
	f.want(PictureGood)
}

// An evening is no lid: the light goes slowly, to the last of it.
func TestNightIsNotCovered(t *testing.T) {
	f := newFilm(t)
	f.usual()
	for i, light := 0, 1.0; light > 1e-5; i, light = i+1, light*.8 {
		f.play(string(rune('a'+i)), 3*time.Second, func(i int64) *image.YCbCr { return room().Expose(light, 1, i) })
	}
	f.play("black", 10*time.Minute, flat(0, 1))
	f.want(PictureGood, PictureDark)
	if !f.meter.health.Night {
		t.Error("the night is not noted")
	}
	f.usual()
	f.want(PictureGood, PictureDark, PictureGood)
}

// Who switches the light off leaves the display of a clock: that is no lid. With
// nothing left to be seen it cannot be told from one, and is an alarm.
func TestLightsOut(t *testing.T) {
	clock := func(i int64) *image.YCbCr {
		img := flat(0, 8)(i)
		for y := 100; y < 116; y++ {
			for x := 200; x < 240; x++ {
				img.Y[img.YOffset(x, y)] = 120
			}
		}
		return img
	}
	f := newFilm(t)
	f.usual()
	f.play("clock", time.Minute, clock)
	f.want(PictureGood, PictureDark)
	f.play("tape", time.Minute, flat(0, 8)) // in the dark nobody sees who covers a lens
	f.want(PictureGood, PictureDark)
}

func TestFrozenIsAnAlarm(t *testing.T) {
	f := newFilm(t)
	f.usual()
	f.play("frozen", 15*time.Second, func(int64) *image.YCbCr { return room().Expose(1, 1, 3) })
	f.want(PictureGood, PictureFrozen)
	f.usual()
	f.want(PictureGood, PictureFrozen, PictureGood)
	if r := f.meter.health.Rate; r < 3.5 || r > 4.5 {
		t.Errorf("rate %.1f, want 4", r)
	}
}

func TestBlurredIsTold(t *testing.T) {
	f := newFilm(t)
	f.usual()
	blurred := negative("blurred", synthface.Scene{Blur: 4})
	f.play("blurred", 20*time.Second, func(i int64) *image.YCbCr { return blurred.Expose(1, 1, i) })
	f.want(PictureGood, PictureBlurred)
	if PictureBlurred.Alarm() || !PictureFrozen.Alarm() || PictureBlurred.Hint() == "" {
		t.Error("what is an alarm")
	}
}

// People who come, stand, turn and go are no reason for anything.
func TestPeopleAreNoAlarm(t *testing.T) {
	f := newFilm(t)
	f.usual()
	who := synthface.Subject{Person: ada}
	for _, act := range []synthface.Act{synthface.Enter, synthface.Turn, synthface.Leave} {
		for shot := range synthface.Perform(who, act, synthface.Scene{Width: 320, Height: 240}, 4) {
			f.now = f.now.Add(250 * time.Millisecond)
			if f.meter.see(f.now, shot.Image) {
				f.told = append(f.told, f.meter.health.Picture)
			}
		}
	}
	f.want(PictureGood)
}
