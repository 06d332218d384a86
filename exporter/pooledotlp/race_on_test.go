//go:build race

package pooledotlp

// raceDetector says that everything here is several times slower than in production.
const raceDetector = true
