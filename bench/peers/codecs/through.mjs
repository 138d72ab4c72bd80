const tick = () => new Promise((resolve) => process.nextTick(resolve))

/** A stream, for what is written into it and for what comes out. */
export const through = (stream, seen) => {
  stream.on("data", seen)
  return async (inputs) => {
    for (let index = 0; index < inputs.length; index++) {
      // Each write leaves something to do, and the first one waits for the stream to flow.
      if (index % 1024 === 0) await tick()
      stream.write(inputs[index])
    }
  }
}
