//go:build race

package simulate

// raceDetector makes simulations 20 times slower. Each is one goroutine, so it finds nothing in them: with it, only what is
// quick runs.
const raceDetector = true
