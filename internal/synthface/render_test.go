package synthface

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"runtime"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is a scene that renders quickly and without noise.
func small(w, h int) Scene { return Scene{Width: w, Height: h, Noise: -1} }

// ada is shared by the tests so that her mesh is built once.
var ada = Cast()[0]

func TestRenderGolden(t *testing.T) {
	scene := Scene{Width: 128, Height: 96}
	shot := Render(scene, Subject{Person: ada, Pose: Pose{Yaw: 15, Distance: 50}, Expression: Expression{Smile: .5}})
	const file = "testdata/ada.png"
	if *update {
		writePNG(t, file, shot.Image)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	// Other architectures round differently; whole pixels move only at edges.
	if d := meanDifference(shot.Image, want); d > 1.5 {
		t.Errorf("mean difference from %s is %.2f levels (see -update)", file, d)
	}
}

// The clips' file names carry the rendition: it has to change with the pixels.
func TestRenditionFollowsThePixels(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the digest is of amd64's rounding")
	}
	h := sha256.New()
	for shot := range Perform(Subject{Person: ada}, Look, Scene{Width: 96, Height: 72}, 1) {
		h.Write(shot.Image.Y)
		h.Write(shot.Image.Cb)
	}
	got := fmt.Appendf(nil, "rendition %d: %x\n", rendition, h.Sum(nil)[:12])
	const file = "testdata/rendition.txt"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the pixels are %sthe file says %sraise rendition, then run with -update", got, want)
	}
}

func TestRenderIsDeterministic(t *testing.T) {
	s := Scene{Width: 160, Height: 120, Seed: 4}
	sub := Subject{Person: ada, Pose: Pose{Yaw: -20, Pitch: 5, Roll: 3}}
	again := sub
	again.Person = NewPerson(ada.Seed)
	a, b := Render(s, sub), Render(s, again)
	if !bytes.Equal(a.Image.Y, b.Image.Y) || !bytes.Equal(a.Image.Cb, b.Image.Cb) || !bytes.Equal(a.Image.Cr, b.Image.Cr) {
		t.Error("the same seed gave other pixels")
	}
	s.Seed++
	if c := Render(s, sub); bytes.Equal(a.Image.Y, c.Image.Y) {
		t.Error("another seed gave the same noise")
	}
}

func TestRenderSizes(t *testing.T) {
	for _, size := range [][3]int{{0, 0, 640}, {64, 48, 64}, {65, 49, 65}, {33, 97, 33}, {1, 1, 1}} {
		img := Render(Scene{Width: size[0], Height: size[1]}).Image
		if img.Bounds().Dx() != size[2] {
			t.Errorf("%v: %v", size, img.Bounds())
		}
	}
}

func TestSubjectsMayBeAnywhere(t *testing.T) {
	for _, p := range []Pose{{Distance: 5}, {Distance: 5000}, {X: 900}, {Y: -900}, {Yaw: 180}, {Yaw: 1e6, Pitch: 200, Roll: -400}} {
		Render(small(64, 48), Subject{Person: ada, Pose: p})
	}
	if shot := Render(small(64, 48), Subject{}); len(shot.Faces) != 1 {
		t.Error("a subject that is nobody has no keypoints")
	}
}

// The keypoints are where the features are drawn: what changes with the eyelids
// is at the eyes, what changes with the jaw is at the mouth.
func TestKeypointsAreAtTheFeatures(t *testing.T) {
	for _, pose := range []Pose{{Distance: 45}, {Distance: 45, Yaw: 20}, {Distance: 60, Yaw: -15, Pitch: 8, Roll: 12, X: 8}} {
		s := small(320, 240)
		open := Render(s, Subject{Person: ada, Pose: pose})
		shut := Render(s, Subject{Person: ada, Pose: pose, Expression: Expression{Blink: 1}})
		k := open.Faces[0]
		apart := math.Hypot(k[LeftEye].X-k[RightEye].X, k[LeftEye].Y-k[RightEye].Y)
		for _, eye := range []int{RightEye, LeftEye} {
			if d := centreOfChange(open.Image, shut.Image, k[eye], .45*apart); d > .12*apart {
				t.Errorf("%+v: eye %d is %.1f pixels off at %.1f between the eyes", pose, eye, d, apart)
			}
		}
		gape := Render(s, Subject{Person: ada, Pose: pose, Expression: Expression{Mouth: .6}})
		if d := centreOfChange(open.Image, gape.Image, gape.Faces[0][Mouth], .4*apart); d > .2*apart {
			t.Errorf("%+v: the mouth is %.1f pixels off at %.1f between the eyes", pose, d, apart)
		}
	}
}

// centreOfChange is how far the centre of what differs around at lies from it.
func centreOfChange(a, b *image.YCbCr, at Point, radius float64) float64 {
	var x, y, sum float64
	for j := int(at.Y - radius); j <= int(at.Y+radius); j++ {
		for i := int(at.X - radius); i <= int(at.X+radius); i++ {
			if !(image.Point{i, j}).In(a.Rect) {
				continue
			}
			d := math.Abs(float64(a.Y[a.YOffset(i, j)]) - float64(b.Y[b.YOffset(i, j)]))
			x, y, sum = x+d*(float64(i)+.5), y+d*(float64(j)+.5), sum+d
		}
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return math.Hypot(x/sum-at.X, y/sum-at.Y)
}

func TestPoseSigns(t *testing.T) {
	at := func(p Pose) Keypoints {
		return Render(small(64, 48), Subject{Person: ada, Pose: p}).Faces[0]
	}
	straight := at(Pose{})
	middle := func(k Keypoints) float64 { return (k[RightEye].X + k[LeftEye].X) / 2 }
	if k := at(Pose{Yaw: 20}); k[NoseTip].X <= middle(k)+.1*(k[LeftEye].X-k[RightEye].X) {
		t.Error("yaw does not turn the nose to the right of the image")
	}
	if k := at(Pose{Pitch: 20}); k[NoseTip].Y-k[RightEye].Y >= straight[NoseTip].Y-straight[RightEye].Y {
		t.Error("pitch does not raise the nose")
	}
	if k := at(Pose{Roll: 20}); k[RightEye].Y <= k[LeftEye].Y {
		t.Error("roll does not lean the head to the left of the image")
	}
	if straight[RightEye].X >= straight[LeftEye].X {
		t.Error("the right eye is not on the left of the image")
	}
}

func TestNearerSubjectIsInFront(t *testing.T) {
	s := small(160, 120)
	near, far := Subject{Person: ada, Pose: Pose{Distance: 45}}, Subject{Person: Cast()[1], Pose: Pose{Distance: 120}}
	alone := Render(s, near)
	for _, both := range []Shot{Render(s, near, far), Render(s, far, near)} {
		k := alone.Faces[0][NoseTip]
		at := alone.Image.YOffset(int(k.X), int(k.Y))
		if d := int(both.Image.Y[at]) - int(alone.Image.Y[at]); d < -12 || d > 12 {
			t.Errorf("the nose of who is in front changed by %d levels", d)
		}
	}
}

func TestLightChangesThePicture(t *testing.T) {
	s := small(96, 72)
	mean := func(l Light) float64 {
		s.Light = l
		sum := 0
		img := Render(s, Subject{Person: ada, Pose: Pose{Distance: 40}}).Image
		for _, y := range img.Y {
			sum += int(y)
		}
		return float64(sum) / float64(len(img.Y))
	}
	bright, dim, dark := mean(Light{}), mean(Light{Ambient: .3, Key: .3}), mean(Light{Ambient: -1, Key: -1})
	if !(bright > dim+20 && dim > dark+10 && dark < 5) {
		t.Errorf("brightness %.0f, dimmed %.0f, without light %.0f", bright, dim, dark)
	}
}

func TestPrints(t *testing.T) {
	photo := Render(Scene{Width: 320, Height: 240}, Subject{Person: ada, Pose: Pose{Distance: 45}})
	span := func(pr *Print, yaw float64) float64 { // offset of the nose along the eye line
		k := Render(small(96, 72), Subject{Print: pr, Pose: Pose{Yaw: yaw}}).Faces[0]
		dx, dy := k[LeftEye].X-k[RightEye].X, k[LeftEye].Y-k[RightEye].Y
		l2 := dx*dx + dy*dy
		return ((k[NoseTip].X-(k[LeftEye].X+k[RightEye].X)/2)*dx + (k[NoseTip].Y-(k[LeftEye].Y+k[RightEye].Y)/2)*dy) / l2
	}
	flat, bent := &Print{Of: photo}, &Print{Of: photo, Bend: 9}
	headTurn := func(yaw float64) float64 {
		k := Render(small(96, 72), Subject{Person: ada, Pose: Pose{Yaw: yaw}}).Faces[0]
		return (k[NoseTip].X - (k[LeftEye].X+k[RightEye].X)/2) / (k[LeftEye].X - k[RightEye].X)
	}
	f, b, h := span(flat, 25)-span(flat, -25), span(bent, 25)-span(bent, -25), headTurn(25)-headTurn(-25)
	if !(math.Abs(f) < .15 && b > f && h > .25 && h > 1.5*b) {
		t.Errorf("over a turn of ±25° the nose moves by %.2f on a flat print, %.2f on a bent one, %.2f on a head", f, b, h)
	}
	screen := Render(small(96, 72), Subject{Print: &Print{Of: photo, Screen: true}})
	paper := Render(small(96, 72), Subject{Print: flat})
	if bytes.Equal(screen.Image.Y, paper.Image.Y) {
		t.Error("a screen looks like paper")
	}
	Render(small(64, 48), Subject{Print: &Print{}}) // of nothing: is not drawn
}

func meanDifference(a *image.YCbCr, b image.Image) float64 {
	sum, n := 0.0, 0
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			r, g, bl, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, d := range [3]int{int(r>>8) - int(r2>>8), int(g>>8) - int(g2>>8), int(bl>>8) - int(b2>>8)} {
				sum += math.Abs(float64(d))
				n++
			}
		}
	}
	return sum / float64(n)
}

func writePNG(t *testing.T, file string, img image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRender(b *testing.B) {
	Render(Scene{}, Subject{Person: ada})
	b.ReportAllocs()
	for b.Loop() {
		Render(Scene{}, Subject{Person: ada})
	}
}

func BenchmarkModel(b *testing.B) {
	for b.Loop() {
		newModel(newTraits(5))
	}
}
