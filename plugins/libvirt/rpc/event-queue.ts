/** After this many events that nobody took, the oldest give way to a gap mark. */
const CAPACITY = 10_000;

/** Told in the place of events that were lost: list everything anew. */
export interface Gap {
  readonly kind: "resync";
}

/** Events on their way to one reader. */
export class EventQueue<T> {
  private items: (T | Gap)[] = [];
  private wake: (() => void) | undefined;
  private failure: unknown;
  private done = false;

  push(item: T | Gap): void {
    if (this.items.length >= CAPACITY) {
      this.items = [{ kind: "resync" }];
    }
    this.items.push(item);
    this.wake?.();
  }

  end(failure?: unknown): void {
    this.done = true;
    this.failure = failure;
    this.wake?.();
  }

  /** What has come so far, then what comes, until the end. */
  async *read(): AsyncGenerator<T | Gap, void, undefined> {
    for (;;) {
      const item = this.items.shift();
      if (item !== undefined) {
        yield item;
        continue;
      }
      if (this.done) {
        if (this.failure !== undefined) {
          throw this.failure;
        }
        return;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }
}
